"""Options and fixtures of the scenarios; `harness test` calls pytest with these options.

One pytest-xdist worker drives one board: worker gw0 the first `--board`, gw1 the second.
"""

import os
import re
import shlex
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import errors, project
from harness.boards import lab_file
from harness.boards.capability import Capability
from harness.boards.lab import open_board
from harness.boards.lab_file import Part, Target
from harness.builders import builder
from harness.builders.builder import Ability
from harness.clients.registry import client_of
from harness.errors import ConfigurationError, HarnessError
from harness.evidence.record import Record
from harness.faults.aim import Aim, Sweep
from harness.log import json_lines
from harness.product.release import Release, load
from harness.scenarios import products, walk
from harness.scenarios.asked import AskedFaults
from harness.scenarios.bench import Bench
from harness.scenarios.collection import LEFT_OUT
from harness.scenarios.naming import (
    NEEDS,
    RESERVED,
    names,
    place,
    require_good,
    scenario_id,
)
from harness.scenarios.scenario import Scenario, printable
from harness.scenarios.tries import EARLIER, RECORDS
from harness.updates.proxy import Proxy
from harness.updates.server import UpdateServer

TIERS = ("ci", "all")
WALKS = [f"cover:{number}" for number in range(1, len(walk.covering()) + 1)]  # of a night
_NAMED = re.compile(r"(walk|faults|aimed-cut|bisected-cuts)\[(.+)\]")
# Of a night: what a board on a bench can be cut at, instead of an exact write.
AIMS = [
    "bytes:50%@before-write",
    "time:1s",
    "console:reboot: Restarting system",
    "console:systemd",
    "console:boot selection: slot/2000ms@tried",
    "console:gateway-health: slot [AB]: ok",
]
_ANY = 1 << 40  # bytes of an artifact that is not known
MARKERS = (
    "ci(slow=False): part of what ./run test can afford; slow=True: on slow boards, too",
    "bootloaders(*names): only for releases with one of these",
    "variants(*names): only for recipes that have all of these",
    "builds(*abilities): only for products whose builder can make that",
    "promised: only for products that refuse older versions",
    "goes_on: the product must have a version to go on to",
    "own_programs: only for devices with the gateway's programs",
    "raw_selection: only where the boot selection lies in raw sectors",
    "tls: only for products that name a CA of update servers",
    f"needs(*names): not on boards that lack one of {', '.join(NEEDS)}",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `harness test` passes on."""
    group = parser.getgroup("harness")
    group.addoption("--release", type=Path, help="folder of the release to prove")
    group.addoption("--from-release", type=Path, help="folder of the release in the field")
    group.addoption("--board", action="append", default=[], help="board of the lab; repeatable")
    group.addoption("--lab", type=Path, help="labgrid environment file")
    group.addoption("--run-folder", type=Path, help="folder that console logs and events go to")
    group.addoption("--tier", choices=TIERS, default="all", help="how much to run")
    group.addoption("--scenario", action="append", default=[], help="exact id; repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Markers by which a scenario says where it can run; names that say nothing are refused."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    _require_readable(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Walks and ad hoc faults are named by what happens in them: those that were asked for, or some
    walks by their seeds."""
    for name, prefix, otherwise in (
        ("walked", "walk", [*WALKS, *_tonight(metafunc.config)]),
        ("asked", "faults", []),
        ("aimed", "aimed-cut", [] if _cuts_exactly(metafunc.config) else AIMS),
        ("swept", "bisected-cuts", []),
    ):
        if name in metafunc.fixturenames:
            cases = [case for each, case in _named(metafunc.config) if each == prefix]
            metafunc.parametrize(
                name,
                [
                    pytest.param(
                        each,
                        marks=pytest.mark.needs(*_needs(metafunc.config, prefix, each)),
                    )
                    for each in cases or otherwise
                ],
            )


def _tonight(config: pytest.Config) -> list[str]:
    """A walk that no other run has taken. The run's name makes it: all its workers must collect the
    same."""
    folder = config.getoption("--run-folder")
    return [f"seed:{zlib.crc32(folder.name.encode())}x12"] if folder else []


def _cuts_exactly(config: pytest.Config) -> bool:
    """Whether all boards have better than an aim: a cut at an exact write."""
    boards = _boards(config.getoption("--lab"), config.getoption("--board"))
    return not any(Capability.CUT_AT_WRITE in each.lacking for each in boards)


def _named(config: pytest.Config) -> list[tuple[str, str]]:
    """Kind and what is to happen, of the scenarios that were asked for in such words; once each."""
    found = map(_NAMED.fullmatch, dict.fromkeys(config.getoption("--scenario")))
    return [(each[1], each[2]) for each in found if each]


def _require_readable(config: pytest.Config) -> None:
    """UsageError for a name that says nothing that could happen to the release."""
    for prefix, case in _named(config):
        try:
            _needs(config, prefix, case)
        except (ValueError, ConfigurationError) as error:
            raise pytest.UsageError(f"{prefix}[{case}]: {error}") from error


def _needs(config: pytest.Config, prefix: str, case: str) -> tuple[Capability | Part, ...]:
    """What a board must be able to do for that; raises as the parsers of such words do."""
    folder = config.getoption("--release")
    if prefix == "walk":
        return walk.needs(walk.parse(case))
    if prefix == "bisected-cuts":
        Sweep.parse(case)
        return (Capability.MEDIUM_READ,)
    if prefix == "aimed-cut":
        folders = filter(None, (folder, config.getoption("--from-release")))
        sizes = [load(each).artifact.stat().st_size for each in folders]  # either may be installed
        aim = Aim.parse(case, size=min(sizes, default=_ANY))
        return (Capability.MEDIUM_READ,) if aim.phase else ()
    return AskedFaults.parse(case, load(folder)).needs if folder else ()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tier, or exactly the scenarios named; of those what product and boards have."""
    require_good(items)
    everything, wanted = config.getoption("--tier") == "all", set(config.getoption("--scenario"))
    folder = config.getoption("--release")
    release = load(folder) if folder else None
    before = config.getoption("--from-release")
    unfit = _unfit(load(before) if before else None, release) if release else {}
    boards = _boards(config.getoption("--lab"), config.getoption("--board"))
    slow = any((each.options or {}).get("slow", False) for each in boards)
    lacking = {str(name) for each in boards for name in each.lacking}

    def chosen(item: pytest.Item) -> bool:
        if wanted:
            return scenario_id(item) in wanted
        mark = item.get_closest_marker("ci")
        return everything or (mark is not None and (mark.kwargs.get("slow", False) or not slow))

    asked = [item for item in items if chosen(item) and not item.name.endswith("[NOTSET]")]
    reasons = {item: why for item in asked if (why := _lacks(item, release, lacking, unfit))}
    config.stash[LEFT_OUT] = {
        name: f"control absent: {why}" if name.partition("[")[0] in RESERVED else why
        for name, why in ((scenario_id(item), why) for item, why in reasons.items())
    }
    kept = [item for item in asked if item not in reasons]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    # The plain update first: long, and without it nothing else means much.
    items[:] = sorted(kept, key=lambda item: scenario_id(item) != "update")
    problems = [f"no such scenario: {name}" for name in wanted - set(map(scenario_id, asked))]
    if wanted:
        problems += [f"{name}: {why}" for name, why in config.stash[LEFT_OUT].items()]
    if problems:
        raise pytest.UsageError("; ".join(sorted(problems)))


def _lacks(
    item: pytest.Item, release: Release | None, lacking: set[str], unfit: dict[str, str]
) -> str:
    """What the product or a board has not that the scenario needs; empty: nothing."""
    if parts := names(item, "needs") & lacking:
        return f"the board has no {' and no '.join(sorted(parts))}"
    if release is None:
        return ""
    bootloader = release.product.bootloader
    bootloaders = names(item, "bootloaders") or {bootloader}
    if bootloader not in bootloaders:
        return f"the bootloader is {bootloader}, not {' or '.join(sorted(bootloaders))}"
    for name, why in unfit.items():
        if item.get_closest_marker(name):
            return why
    abilities = names(item, "builds")
    if unknown := abilities - set(Ability):
        raise pytest.UsageError(f"{place(item)}: builds: there is no ability {min(unknown)!r}")
    for ability in sorted(map(Ability, abilities)):
        if why := builder.lacking(release, ability):
            return why
    wanted = names(item, "variants")
    return products.lacking(release, wanted) if wanted else ""


def _unfit(old: Release | None, new: Release) -> dict[str, str]:
    """Markers of scenarios that are not for such products, and why."""
    if new.product.promises.downgrades == "refused":
        why = builder.lacking(new, Ability.NEWER)
        found = {"goes_on": why} if why else {}
    else:
        found = {"promised": "the product does not promise to refuse older versions"}
    if not (new.product.server_ca and (old is None or old.product.server_ca)):
        found["tls"] = "the product names no CA of update servers"
    if new.product.device:
        found["own_programs"] = "the device has not the gateway's programs"
    if new.product.selection:
        found["raw_selection"] = (
            "the boot selection is a file: nothing on the medium tells the phase"
        )
    return found


def _boards(lab: Path | None, names: list[str]) -> list[Target]:
    """What the lab file says of the boards."""
    if lab is None or not names:
        return []
    targets = lab_file.load(lab).targets
    return [targets[name] for name in names if name in targets]


@dataclass(frozen=True)
class Releases:
    """The versions of this run: what is in the field, and what is to be proven."""

    old: Release
    new: Release

    def after(self, scenario: Scenario) -> tuple[Release, Release]:
        """What is in the field once the new version is, which is then what must hold out, and what
        it is updated to: the old one, or, where it refuses that, a newer one. Where nobody can make
        one, the old one is in the field, and the scenario says so."""
        if why := products.no_way_on(self.new, self.old):
            scenario.leave("new-in-the-field", why)
            return self.old, self.new
        return self.new, products.onward(self.new, self.old)

    def variant_of(self, release: Release, *variants: str, follows: bool = False) -> Release:
        """The same product with a deliberate fault built in: in the place of `release`, or as an
        update for devices that run it."""
        version = f"{release.version}+{'+'.join(variants)}"
        return products.alike(release, version=version, variants=variants, follows=follows)


@pytest.fixture(scope="session")
def releases(pytestconfig: pytest.Config) -> Releases:
    """The release under test, and the one that is in the field."""
    old, new = pytestconfig.getoption("--from-release"), pytestconfig.getoption("--release")
    if not old or not new:
        told = "scenarios need --release and --from-release: use `harness test`"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    return Releases(old=load(old), new=load(new))


@pytest.fixture(scope="session")
def run_folder(pytestconfig: pytest.Config, worker_id: str) -> Iterator[Path]:
    """The folder of this run; every step that this worker takes is written there."""
    folder: Path = pytestconfig.getoption("--run-folder")
    with json_lines(folder / f"events-{worker_id}.jsonl"):
        yield folder


@pytest.fixture(scope="session")
def bench(
    pytestconfig: pytest.Config, releases: Releases, run_folder: Path, worker_id: str
) -> Iterator[Bench]:
    """This worker's board, with the servers that it needs; open as long as the worker lives."""
    boards = pytestconfig.getoption("--board")
    name = boards[0 if worker_id == "master" else int(worker_id.removeprefix("gw"))]
    with (
        open_board(pytestconfig.getoption("--lab"), name) as board,
        UpdateServer() as server,
        Proxy(
            server.address,
            listen=board.addresses.listen,
            link=board.can.link if Capability.LINK in board.can else None,
        ) as proxy,
    ):
        client = client_of(releases.new.product, board)
        yield Bench(board=board, client=client, server=server, proxy=proxy)


@pytest.fixture
def scenario(
    request: pytest.FixtureRequest, bench: Bench, run_folder: Path, releases: Releases
) -> Scenario:
    """The scenario of the running test; the test opens it (`with scenario:`)."""
    identity = scenario_id(request.node)
    words = [*project.command(), "test", printable(releases.new.folder)]
    words += ["--from", printable(releases.old.folder), "--board", bench.board.name]
    words += ["--lab", printable(request.config.getoption("--lab")), "--scenario", identity]
    records: list[dict[str, Any]] = request.node.stash.setdefault(RECORDS, [])

    def keep(record: Record) -> None:
        if record.scenario != identity:
            raise ConfigurationError(f"{identity}: leaves a record of {record.scenario}")
        records.append(record.to_data())

    return Scenario(
        id=identity,
        bench=bench,
        folder=run_folder,
        keep=keep,
        replay=shlex.join(words),
        earlier=request.node.stash.get(EARLIER, ()),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send the test's records along with its report, and whose they are: the controller writes the
    evidence. And an error that is nobody's bug: a board that cannot be had is no verdict."""
    report = yield
    vars(report)["harness_scenario"] = scenario_id(item)
    if report.when == "call":
        vars(report)["harness_records"] = item.stash.get(RECORDS, [])
    if call.excinfo and isinstance(call.excinfo.value, HarnessError):
        vars(report)["harness_error"] = errors.to_data(call.excinfo.value)
    return report
