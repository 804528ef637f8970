"""Scenario 2: updates that must not stay: rolled back, or refused, without any help.

The candidate itself is in the field here, so that its own bootloader and health check are what has
to bring the board back.
"""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from harness.boards.lab_file import Part
from harness.builders import builder
from harness.builders.builder import Ability
from harness.evidence.record import Fault
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.scenarios import products
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario

# What shows on the console that the bad version was booted and failed as it was meant to.
SIGNS = {
    "kernel-panic": r"Kernel panic - not syncing: Attempted to kill init",
    "init-missing": r"initramfs: slot has no /sbin/init",
    "failing-service": r"gateway-health: slot [AB]: rolled back: service \S+ ",
    "no-kernel": r"boot selection: slot [AB] does not load",
    "no-initramfs": r"boot selection: slot [AB] does not load",
    "hang": r"initramfs: this version hangs",
    "hang-late": r"gateway-agent: this version hangs",
    "stuck-boot": r"gateway-stuck: this version waits for ever",
    "emergency": r"Failed to mount [^\r\n]*(var-site|place of the site)",
    "health-crashes": r"gateway-health: this version's check crashes",
    "no-network": r"gateway-health: slot [AB]: rolled back: update server \S+ does not answer",
    "no-udev": r"gateway-health: slot [AB]: not rolled back: the update client could not commit",
}
# Seconds that systemd begins to count late, of a boot that it ends when its time is over.
_LATE = {"stuck-boot": 120.0}


def _must_have_run(
    bench: Bench, scenario: Scenario, candidate: Release, variant: str, *, name: str, after: int
) -> None:
    """What shows that the bad version ran must have come after the reboot into it: what a good
    version says, while it goes down for instance, shows nothing."""
    sign = candidate.product.signs.get(variant, SIGNS[variant])
    shown = re.search(sign, bench.console_text(after=after))
    scenario.must(name, bool(shown), f"not on the console: {sign}")


def bad_update(
    bench: Bench,
    releases: Releases,
    scenario: Scenario,
    candidate: Release,
    variant: str,
    *,
    updated: bool = False,
) -> None:
    """Update a board that runs `candidate`, as it was flashed or `updated` to it (then it runs in
    the other slot), to a bad variant of it; it must come back by itself."""
    bad = releases.variant_of(candidate, variant, follows=True)
    flashed = releases.old if updated else candidate
    judge = bench.judge(candidate, bad, flashed=flashed)
    if late := _LATE.get(variant):
        seconds = judge.limits.boot_seconds + late
        judge = replace(judge, budget=replace(judge.limits, boot_seconds=seconds))
    with scenario:
        scenario.fault = Fault(printed=variant, parameters={"slot": bad.slot.sha256})
        bench.running(flashed)
        if updated:
            bench.bring(candidate, bench.judge(flashed, candidate), kept=True)
        boots = bench.board.boots
        judgement = bench.update(bad, judge)
        # `old` would mean a single boot: the bad version was never tried.
        scenario.conclude(judgement, expected={Verdict.RECOVERED}, final="old")
        _must_have_run(bench, scenario, candidate, variant, name="bad-version-ran", after=boots)
        if why := products.no_way_on(candidate, releases.old):
            scenario.leave("second-update", why)
            return
        onward = products.onward(candidate, releases.old)
        scenario.second_update(bench.judge(candidate, onward, flashed=flashed), judgement)


def _cases() -> list[ParameterSet]:
    marks = {
        "kernel-panic": [pytest.mark.ci(slow=True)],
        "no-kernel": [pytest.mark.ci],
        "no-initramfs": [],
        "init-missing": [],
        "hang": [pytest.mark.needs(Part.WATCHDOG)],
        "hang-late": [pytest.mark.needs(Part.WATCHDOG)],
        "stuck-boot": [],
        "emergency": [],
        "health-crashes": [],
        "failing-service": [],  # ./run test cuts the power in its rollback
        "no-network": [],  # in CI, the control health-always-yes goes the same way
        "no-udev": [],
    }
    return [
        *(
            pytest.param(name, False, id=name, marks=[*own, pytest.mark.variants(name)])
            for name, own in marks.items()
        ),
        *(  # left by the bootloader, and by the health check: in slot A
            pytest.param(name, True, id=f"updated/{name}", marks=pytest.mark.variants(name))
            for name in ("kernel-panic", "failing-service")
        ),
    ]


@pytest.mark.parametrize(("variant", "updated"), _cases())
def test_bad_update(
    bench: Bench, releases: Releases, scenario: Scenario, *, variant: str, updated: bool
) -> None:
    bad_update(bench, releases, scenario, releases.new, variant, updated=updated)


def bad_updates_in_a_row(
    bench: Bench, releases: Releases, scenario: Scenario, candidate: Release
) -> None:
    """A version that cannot boot, and, when that one was left, one that is not well: both must be
    left, and a good one still be taken."""
    bad = [
        releases.variant_of(candidate, each, follows=True)
        for each in ("kernel-panic", "failing-service")
    ]
    with scenario:
        scenario.fault = Fault(printed="kernel-panic, failing-service")
        bench.running(candidate)
        begun = bench.board.boots
        judgement = bench.update(bad[0], bench.judge(candidate, bad[0]))
        second = bench.board.boots
        scenario.must("first-left", judgement.final == "old", str(judgement))
        if not judgement.verdict.failed:
            judgement = bench.update(bad[1], bench.judge(candidate, bad[1]))
        scenario.conclude(judgement, expected={Verdict.RECOVERED}, final="old")
        for variant, boots in (("kernel-panic", begun), ("failing-service", second)):
            _must_have_run(bench, scenario, candidate, variant, name=f"ran-{variant}", after=boots)
        good = bench.judge(candidate, products.onward(candidate, releases.old))
        scenario.second_update(good, judgement)


@pytest.mark.variants("kernel-panic", "failing-service")
def test_bad_updates_in_a_row(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    bad_updates_in_a_row(bench, releases, scenario, releases.new)


def _truncated(release: Release, folder: Path) -> Path:
    """The release's update artifact with its last third cut off."""
    content = release.artifact.read_bytes()
    path = folder / "truncated-artifact"
    path.write_bytes(content[: len(content) * 2 // 3])
    return path


def offered(kind: str, release: Release, folder: Path) -> Path:
    """What must be refused: the release's update artifact, or what somebody made of it."""
    if kind == "signed-by-stranger":
        by = builder.require(release, Ability.STRANGER)
        return by.strange_artifact(release, folder / "strange-artifact")
    if kind == "misdirected":
        by = builder.require(release, Ability.MISDIRECTED)
        return by.misdirected_artifact(release, folder / "misdirected-artifact")
    return _truncated(release, folder) if kind == "truncated" else release.artifact


def refused_update(
    bench: Bench, scenario: Scenario, offered: Path, candidate: Release, old: Release
) -> None:
    """A board that runs `candidate` is offered what it must not install."""
    judge = bench.judge(candidate, old)
    with scenario:
        scenario.fault = Fault(printed=offered.name)
        bench.running(candidate)
        before = judge.selection_now()
        url = bench.offer(old, offered)
        result = bench.client.install(url, timeout=DOWNLOAD_AND_INSTALL_SECONDS)
        scenario.must("refused", not result.ok, result.output[-500:])
        after = judge.selection_now()
        untouched = before is not None and before == after
        scenario.must("boot-selection-untouched", untouched, f"{before} -> {after}")
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.OLD})
        onward = bench.judge(candidate, products.onward(candidate, old))
        scenario.second_update(onward, judgement)


@pytest.mark.goes_on
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("signed-by-stranger", marks=[pytest.mark.ci, pytest.mark.builds("stranger")]),
        pytest.param("truncated"),
        pytest.param("misdirected", marks=pytest.mark.builds("misdirected")),
        pytest.param("older", marks=pytest.mark.promised),
    ],
)
def test_refused_update(bench: Bench, releases: Releases, scenario: Scenario, kind: str) -> None:
    new, release = releases.new, releases.old
    if kind != "older":  # what would be taken, if it were not for that
        release = products.onward(new, release)
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        refused_update(bench, scenario, offered(kind, release, Path(folder)), new, release)
