"""Scenario 2: updates that must not stay: rolled back, or refused, without any help.

The candidate itself is in the field here, so that its own bootloader and health check are what has
to bring the board back.
"""

import re
from pathlib import Path

import pytest

from harness.crash.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.evidence.record import Fault
from harness.images.artifacts import sign_as_stranger
from harness.images.release import Release
from harness.verdict import Verdict
from tests.hil.bench import Bench
from tests.hil.conftest import Releases
from tests.hil.scenario import Scenario

# What shows on the console that the bad version was booted and failed as it was meant to.
SIGNS = {
    "kernel-panic": r"Kernel panic - not syncing: Attempted to kill init",
    "init-missing": r"initramfs: slot has no /sbin/init",
    "failing-service": r"gateway-health: slot B: rolled back: service \S+ ",
    "no-network": r"gateway-health: slot B: rolled back: update server \S+ does not answer",
}


def bad_update(
    bench: Bench, releases: Releases, scenario: Scenario, candidate: Release, variant: str
) -> None:
    """Update a board that runs `candidate` to a bad variant of it; it must come back by itself."""
    bad = releases.variant_of(candidate, variant)
    judge = bench.judge(candidate, bad)
    with scenario:
        scenario.fault = Fault(printed=variant, parameters={"slot": bad.slot.sha256})
        bench.running(candidate)
        judgement = bench.update(bad, judge)
        # `old` would mean a single boot: the bad version was never tried.
        scenario.conclude(judgement, expected={Verdict.RECOVERED}, final="old")
        shown = re.search(SIGNS[variant], bench.console_text())
        scenario.must("bad-version-ran", bool(shown), f"not on the console: {SIGNS[variant]}")
        good = bench.judge(candidate, releases.old)
        scenario.second_update(good, judgement)


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param("kernel-panic", marks=pytest.mark.ci(slow=True)),
        pytest.param("init-missing"),
        pytest.param("failing-service"),  # ./run test cuts the power in its rollback
        pytest.param("no-network", marks=pytest.mark.ci),
    ],
)
def test_bad_update(bench: Bench, releases: Releases, scenario: Scenario, variant: str) -> None:
    bad_update(bench, releases, scenario, releases.new, variant)


def _truncated(release: Release, folder: Path) -> Path:
    """The release's update artifact with its last third cut off."""
    content = release.artifact.read_bytes()
    path = folder / "truncated-artifact"
    path.write_bytes(content[: len(content) * 2 // 3])
    return path


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("signed-by-stranger", marks=pytest.mark.ci),
        pytest.param("truncated", marks=pytest.mark.ci),
    ],
)
def test_refused_update(
    bench: Bench, releases: Releases, scenario: Scenario, kind: str, tmp_path: Path
) -> None:
    judge = bench.judge(releases.new, releases.old)
    with scenario:
        scenario.fault = Fault(printed=kind)
        bench.running(releases.new)
        before = judge.medium_selection()
        artifact = (
            sign_as_stranger(releases.old, tmp_path / "strange-artifact")
            if kind == "signed-by-stranger"
            else _truncated(releases.old, tmp_path)
        )
        result = bench.client.install(
            bench.offer(releases.old, artifact), timeout=DOWNLOAD_AND_INSTALL_SECONDS
        )
        scenario.must("refused", not result.ok, result.output[-500:])
        after = judge.medium_selection()
        untouched = before is not None and before == after
        scenario.must("boot-selection-untouched", untouched, f"{before} -> {after}")
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.OLD})
        scenario.second_update(judge, judgement)
