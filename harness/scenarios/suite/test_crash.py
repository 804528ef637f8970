"""Scenario 7: every power-cut point of an update (docs/crash.md), proven on itself.

The states that are computed from a write log are those that a real cut leaves, byte for byte; and
the exploration finds the products that lose a cut, each for its own reason.
"""

import contextlib
import hashlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from dask import config as dask_config
from dask.distributed import Client
from distributed.security import Security

from harness.boards.capability import Capability
from harness.crash.exploration.explore import Plan, explore
from harness.crash.exploration.prove import PROOFS
from harness.crash.record import record
from harness.crash.recording.recording import CONSOLE
from harness.crash.results.results import Bad, Results
from harness.crash.states.cut import Cut
from harness.crash.states.in_doubt import Doubt, WritesInDoubt
from harness.crash.states.reader import StateReader
from harness.crash.states.sources import Sources, cut_off
from harness.deadline import Deadline
from harness.evidence.record import Fault
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Judgement, Verdict
from harness.medium.log import LogReader
from harness.medium.model import Event, Loss, LossKind, Model, Stage, Trigger
from harness.process import background, kill_group
from harness.product.release import Release
from harness.scenarios import products
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import CUT_POINTS, Scenario
from harness.scenarios.suite.test_power_cut import NEEDS

pytestmark = pytest.mark.own_programs

_WHILE = 180.0  # seconds
# To be recorded and explored.
_NEEDS = (
    Capability.RECORD,
    Capability.CHOOSE_LOSS,
    Capability.MEDIUM_READ_LIVE,
    Capability.LINK,
)


def _moments(layout: dict[str, tuple[int, int]], size: int) -> dict[str, Trigger]:
    """Where a live cut strikes, by writes of the whole medium: while the update is downloaded,
    while the slot is written, and when that is done: at the write that selects it."""

    def written(region: str, count: int) -> Stage:
        offset, length = layout[region]
        return Stage(event=Event.BYTES, count=count, offset=offset, length=length)

    def writes(count: int) -> Stage:
        return Stage(event=Event.WRITES, count=count)

    return {
        "download": Trigger(stages=(writes(25),)),
        "slot": Trigger(stages=(written("slot-B", size // 4), writes(20))),
        "switch": Trigger(stages=(written("slot-B", size), writes(1))),
    }


@pytest.mark.needs(*NEEDS, Capability.RECORD)
def test_crash_model(bench: Bench, releases: Releases, scenario: Scenario, tmp_path: Path) -> None:
    """A cut that kills the board leaves what is computed from its own image and log."""
    board, old, new = bench.board, releases.old, releases.new
    judge = bench.judge(old, new)
    compared: list[str] = []
    with scenario:
        for moment, trigger in _moments(dict(old.layout), new.slot.size).items():
            bench.running(old)
            board.can.cut_at_write.arm(trigger)
            bench.client.start_install(bench.offer(new))
            board.can.cut_at_write.wait_cut(DOWNLOAD_AND_INSTALL_SECONDS)
            instant = board.can.save.save(f"crash-{moment}")
            model, at, doubts = _in_doubt(board.can.record.write_log)
            for loss in _losses(doubts):
                board.can.save.restore(instant)
                board.can.choose_loss.cut(loss)
                state = Cut(at=at, loss=loss)
                computed = _computed(
                    old, board.can.record.write_log, model, state, tmp_path / "state.json"
                )
                left = board.can.medium_read.sha256(0, old.files["disk.img"].size)
                scenario.must(f"same-content[{moment}:{state}]", left == computed, "differs")
                compared.append(f"{moment}: {state}, {len(doubts)} writes in doubt")
        scenario.fault = Fault(printed="crash states", parameters={"compared": compared})
        boots = board.boots
        board.power_on()
        scenario.conclude(judge.judge(boots_before=boots), expected={Verdict.OLD}, final="old")


def _in_doubt(log: Path) -> tuple[Model, int, list[Doubt]]:
    """A log's medium and number of records, and the writes that a power cut after them may take."""
    with LogReader(log) as reader:
        model, at = Model(reader.origin.model), 0
        unflushed = WritesInDoubt(model)
        for record_ in reader.records():
            unflushed.add(record_)
            at = record_.position + 1
    return model, at, [doubt for doubt in unflushed.doubts() if not doubt.promised]


def _losses(doubts: list[Doubt]) -> Iterator[Loss]:
    """Each kind of loss; those that name a write name the one in the middle, those that name two
    also the oldest, a torn one is the newest or the oldest of several sectors. The last one loses
    everything."""
    positions = [doubt.record.position for doubt in doubts]
    for way in (LossKind.ONLY, LossKind.WITHOUT) if doubts else ():
        middle = positions[len(positions) // 2]
        yield Loss(kind=way, position=middle)
        if middle != positions[0]:
            yield Loss(kind=way, position=positions[0], others=(middle,))
    wide = [doubt.record for doubt in doubts if doubt.record.length > 512]
    for torn in {each.position: each for each in [*wide[:1], *wide[-1:]]}.values():
        for way in (LossKind.ONLY, LossKind.TORN):
            yield Loss(kind=way, position=torn.position, sectors=torn.length // 512 // 2)
    for way in (LossKind.SOME, LossKind.TORN):
        yield Loss(kind=way, seed=len(doubts))
    yield Loss(kind=LossKind.ALL)
    yield Loss(kind=LossKind.NONE)


def _computed(old: Release, log: Path, model: Model, state: Cut, state_file: Path) -> str:
    """SHA-256 of the whole medium in a crash state, from the flashed image and the log alone."""
    sources = Sources(old.files["disk.img"].size, old.disk_image)
    cut_off(sources, log, model, state)
    sources.save(state_file)
    digest = hashlib.sha256()
    with StateReader(state_file) as view:
        for chunk in view.chunks(0, view.size):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class PlantedFault:
    """A product that loses a power cut, and what an exploration must say of it. It is planted where
    it acts: a client in the old version, which installs, a first boot in the new one, a bootloader,
    which both must know, in both; `bad` is the variant that makes a third one fail its trial."""

    variants: tuple[str, ...]
    installs: bool
    both: bool = False
    bad: str = ""
    first: tuple[str, ...] = ()  # phases where it shows
    expected: tuple[Verdict, ...]
    because: str  # the pattern of a line of the reasons
    bootloader: str = "grub"

    def versions(self, releases: Releases) -> tuple[Release, Release]:
        """The version to record an update from, and the one to record an update to."""
        broken = releases.variant_of(releases.new, *self.variants)
        if self.both:
            return releases.variant_of(releases.old, *self.variants), broken
        if not self.installs:
            return releases.old, broken
        return broken, products.onward(broken, releases.old)


CONTROLS = {
    "migration-unsynced": PlantedFault(
        variants=("migration-unsynced",),
        installs=False,
        expected=(Verdict.INCONSISTENT,),
        because="^data-unchanged",  # what the site has put there is empty
    ),
    "selection-unflushed": PlantedFault(
        variants=("selection-unflushed",),
        installs=True,
        expected=(Verdict.INCONSISTENT,),
        because="^selectable-slots-known: unknown: .*B",
    ),
    "environment-not-redundant": PlantedFault(
        variants=("environment-not-redundant",),
        installs=True,
        both=True,
        bad="failing-service",
        first=("reject", "switch-2", "bootloader-2"),
        expected=(Verdict.INCONSISTENT,),
        # U-Boot takes its built-in environment, which knows of no trial: the bad version stays.
        because="^version-known: runs 1.1.0.+failing-service",
        bootloader="u-boot",
    ),
    "careless-client": PlantedFault(
        variants=("careless-client",),
        installs=True,
        expected=(Verdict.INCONSISTENT,),
        because="^(reachable|slot-content)",  # half a version boots, and stays
    ),
    "resume-any": PlantedFault(
        variants=("resume-any",),
        installs=True,
        first=("install",),
        expected=(Verdict.INCONSISTENT,),
        # It says that it has installed it: pieces of the one before are still there.
        because="^second-update: installed, but slot B does not hold",
    ),
    "host-key-unsynced": PlantedFault(
        variants=("host-key-unsynced",),
        installs=True,
        first=("factory",),
        expected=(Verdict.INCONSISTENT,),
        because="^reachable: ssh",  # an empty key: a device without SSH, for ever
    ),
    "no-barriers": PlantedFault(
        variants=("no-barriers",),
        installs=True,
        both=True,
        expected=(Verdict.INCONSISTENT, Verdict.BRICKED),
        # What is lost is a matter of which part of the file system the medium kept.
        because="^(data-unchanged|identity|healthy|reachable|second-update|back-from-second-update)",
    ),
    "careless-client-uncounted": PlantedFault(
        variants=("careless-client", "no-boot-counter"),
        installs=True,
        expected=(Verdict.BRICKED, Verdict.INCONSISTENT),
        # Half a version resets again and again, hangs before anything watches it, or runs halfway.
        # (That it cannot come back from a probe that does not boot is no matter of a cut.)
        because="^(healthy: (not healthy after|no sign of health)|reachable|slot-content)",
    ),
}


def _cases() -> list[ParameterSet]:
    return [
        pytest.param(
            name,
            marks=[
                pytest.mark.bootloaders(control.bootloader),
                pytest.mark.builds("artifact"),
                pytest.mark.variants(*control.variants, *filter(None, [control.bad])),
            ],
        )
        for name, control in CONTROLS.items()
    ]


@pytest.mark.needs(*_NEEDS)
@pytest.mark.parametrize("control", _cases())
def test_crash(
    bench: Bench,
    releases: Releases,
    scenario: Scenario,
    request: pytest.FixtureRequest,
    control: str,
) -> None:
    """An exploration must find the planted fault, and say why: a control of the exploration."""
    asked = CONTROLS[control]
    old, new = asked.versions(releases)
    broken = releases.variant_of(releases.new, *asked.variants)
    bench.board.power_off()  # recorded on a board of its own: this one keeps what it has saved
    run: Path = request.getfixturevalue("tmp_path") / "run"
    scenario.consoles = ()
    with scenario.of_control(broken, *asked.expected), scenario:
        record(
            new.folder,
            old.folder,
            board=f"{bench.board.name}@record",
            lab=request.config.getoption("--lab"),
            output=run,
            bad=releases.variant_of(new, asked.bad).folder if asked.bad else None,
        )
        plan = Plan(jobs=1, nested=False, first=asked.first, until_bad=asked.because)
        conclude(scenario, asked, explore(run, plan), run)
    assert scenario.record
    scenario.keep_control(broken, scenario.record, *asked.expected)
    shutil.rmtree(run)  # hundreds of megabytes


def conclude(scenario: Scenario, asked: PlantedFault, found: Results, run: Path) -> None:
    """The scenario ends as the cut point did at which the planted fault was found, for its own
    reason; AssertionError when it was not."""
    told = "\n".join(f"{bad.state}: {bad.verdict}: {'; '.join(bad.why)}" for bad in found.bad)
    caught = next((bad for bad in found.bad if _is_caught(bad, asked)), None)
    assert caught, told or "no bad state was found"
    boots = {each.id: each.boots for each in found.proofs}.get(caught.proof, 0)
    scenario.consoles = sorted((run / PROOFS / caught.proof / CONSOLE).glob("*.log"))
    scenario.fault = Fault(
        printed=f"power-cut:explored:{caught.state}",
        parameters={
            "why": list(caught.why),
            "cut_points": found.counts.cut_points,
            "booted": found.counts.booted,
            "recording": found.recording.id,
        },
    )
    scenario.conclude(
        Judgement(verdict=caught.verdict, final="", boots=boots, invariants=()),
        expected=asked.expected,
    )


def _is_caught(bad: Bad, asked: PlantedFault) -> bool:
    told = re.search(asked.because, "\n".join(bad.why), re.MULTILINE)
    return bad.verdict in asked.expected and told is not None


@pytest.mark.needs(*_NEEDS)
@pytest.mark.bootloaders("grub")
@pytest.mark.builds("artifact")
def test_crash_on_a_cluster(
    bench: Bench,
    releases: Releases,
    scenario: Scenario,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """Workers of a Dask scheduler, one of them killed while it boots, come to the same verdicts as
    one of our own. Both explore for a while only: where both have decided all, they agree. And what
    they have decided of the release is said of it."""
    bench.board.power_off()
    scenario.consoles = ()
    with scenario:
        record(
            releases.new.folder,
            releases.old.folder,
            board=f"{bench.board.name}@record",
            lab=request.config.getoption("--lab"),
            output=tmp_path / "alone",
        )
        shutil.copytree(tmp_path / "alone", tmp_path / "cluster")
        alone = explore(tmp_path / "alone", Plan(jobs=1, nested=False, budget=_WHILE, seed=1))
        with _cluster(tmp_path) as (address, workers):
            killer = threading.Thread(target=_kill_at_work, args=(workers[0], tmp_path / "cluster"))
            killer.start()
            plan = Plan(scheduler=address, nested=False, budget=_WHILE, seed=1)
            together = explore(tmp_path / "cluster", plan)
            killer.join()
            assert [worker.poll() is None for worker in workers] == [False, True]
        conclude_both(scenario, alone, together)
    for folder in ("alone", "cluster"):
        shutil.rmtree(tmp_path / folder)


def conclude_both(scenario: Scenario, alone: Results, together: Results) -> None:
    """The scenario ends as the worst boot of two explorations of one recording; AssertionError
    where both have decided all and do not agree: that is a bug of the explorer's."""
    first, second = (
        {point.at: point.verdicts for point in found.points if not point.undecided}
        for found in (alone, together)
    )
    both = sorted(first.keys() & second.keys())
    assert both
    assert [first[at] for at in both] == [second[at] for at in both]
    boots = [*alone.boots, *together.boots]
    bad = {each.state: each for found in (alone, together) for each in found.bad}
    scenario.fault = Fault(
        printed="power-cut:explored",
        parameters={"agreed": len(both), "bad": {name: list(bad[name].why) for name in bad}},
    )
    ends = [*(each.verdict for each in boots), *(each.verdict for each in bad.values())]
    worst = next(verdict for verdict in reversed(Verdict) if verdict in ends)
    scenario.must(CUT_POINTS, not bad, "; ".join(f"{name}: {bad[name].reason}" for name in bad))
    scenario.conclude(
        Judgement(verdict=worst, final="", boots=sum(each.boots for each in boots), invariants=()),
        expected={Verdict.OLD, Verdict.NEW, Verdict.RECOVERED},
    )


@contextlib.contextmanager
def _cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler on loopback with two worker processes, started as a lab would, with TLS; for the
    length of the block Dask is configured as its client."""
    told = folder / "scheduler.json"
    names = _certificate(folder)
    options = [f"--tls-{name}={path}" for name, path in names.items()]
    dask = [str(Path(sys.executable).with_name("dask"))]
    config = {f"distributed.comm.tls.client.{name}": str(names[name]) for name in ("cert", "key")}
    config["distributed.comm.tls.ca-file"] = str(names["ca-file"])
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask_config.set(config))

        def started(name: str, *words: str) -> subprocess.Popen[bytes]:
            file = f"--scheduler-file={told}"
            argv = [*dask, *words, *options, "--no-dashboard", "--protocol=tls", file]
            return stack.enter_context(background(argv, log=folder / f"{name}.log"))

        started("scheduler", "scheduler", "--host=127.0.0.1", "--port=0")
        words = ("worker", "--nthreads=1", "--no-nanny")
        workers = [started(f"worker-{number}", *words) for number in range(2)]
        with Client(scheduler_file=str(told), timeout=60, security=Security()) as client:
            client.wait_for_workers(2, timeout=60)
            yield client.scheduler_info()["address"], workers


def _certificate(folder: Path) -> dict[str, Path]:
    """Files for Dask's options: one certificate for all of them, which is its own authority."""
    made = Security.temporary()
    content = {
        "ca-file": made.tls_ca_file,
        "cert": made.tls_client_cert,
        "key": made.tls_client_key,
    }
    for name, text in content.items():
        (folder / f"{name}.pem").write_text(text)
    return {name: folder / f"{name}.pem" for name in content}


def _kill_at_work(worker: subprocess.Popen[bytes], run: Path) -> None:
    """Kill the worker when two states are being booted, so that it has one."""
    deadline, pause = Deadline(_WHILE), threading.Event()
    while len(_under_way(run)) < 2 and not deadline.over:
        pause.wait(1.0)
    kill_group(worker)


def _under_way(run: Path) -> list[Path]:
    """Boots that have begun and are not proven yet."""
    return [path for path in run.glob("proofs/*") if not (path / "proof.json").exists()]
