"""A matrix of two machines, run for real in two processes; what they test is made up."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import ConfigurationError, DeviceError, HarnessError, LabError
from harness.evidence.record import Outcome
from harness.evidence.store import Stored
from harness.scenarios.invocation import Selection
from harness.scenarios.matrix import MachineRun, by_machine, require_passed, run_matrix
from tests.unit.evidence.samples import make_release

ROOT = Path(__file__).parents[2]
MACHINES = ("legacy-gateway", "rpi4")
LAB = """
targets:
  gateway-1: {options: {machine: legacy-gateway}, resources: {}, drivers: {}}
  gateway-2: {options: {machine: legacy-gateway}, resources: {}, drivers: {}}
  pi-1: {options: {machine: rpi4}, resources: {}, drivers: {}}
  toaster: {options: {machine: toaster}, resources: {}, drivers: {}}
"""

# `harness test`, but the scenarios are made up: SCENARIOS says what becomes of each machine.
FAKE = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from harness import errors
from harness.scenarios import runner
from harness.evidence import signing
from harness.evidence.subject import read_subject
from harness.judge.verdict import Verdict
from tests.unit.evidence.samples import finished_run, record
def run_scenarios(selection, store):
    subject, before = read_subject(selection.release), read_subject(selection.from_release)
    print("on", *selection.boards)
    verdict = Verdict.NEW
    exec(dict(SCENARIOS)[subject.machine], globals())
    verdict = globals().get("verdict", verdict)
    records = [record("update", verdict, machine=subject.machine)]
    return finished_run(store, subject, records, signing.load_signer(), from_release=before)
runner.run_scenarios = run_scenarios
from harness import cli
cli.main()
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    (tmp_path / "lab.yaml").write_text(LAB)
    for machine in (*MACHINES, "toaster"):
        for version in ("1.0.0", "1.1.0"):
            make_release(tmp_path / f"{machine}-{version}", machine=machine, version=version)
    return tmp_path / "lab.yaml"


def common(lab: Path, *boards: str) -> Selection:
    nothing = Path()
    return Selection(
        release=nothing, from_release=nothing, boards=boards, lab=lab, keyword="update"
    )


def releases(lab: Path, version: str, *machines: str) -> list[Path]:
    return [lab.parent / f"{machine}-{version}" for machine in machines]


def run(lab: Path, **what: str) -> tuple[list[MachineRun], list[str], list[Stored]]:
    """Runs both machines; what becomes of each (a statement), by machine with `_` for `-`."""
    selections = by_machine(
        releases(lab, "1.1.0", *MACHINES),
        releases(lab, "1.0.0", *reversed(MACHINES)),
        common(lab, "pi-1", "gateway-1", "gateway-2"),
    )
    scenarios = {machine: what.get(machine.replace("-", "_"), "pass") for machine in MACHINES}
    told: list[str] = []
    done: list[Stored] = []
    runs = run_matrix(
        selections,
        lab.parent / "store",
        tell=lambda name, line: told.append(f"{name} | {line}"),
        on_done=done.append,
        program=(sys.executable, "-c", f"SCENARIOS = {scenarios!r}\n{FAKE}"),
    )
    return runs, told, done


def test_each_machine_is_one_signed_run_on_its_own_boards(lab: Path) -> None:
    runs, told, done = run(lab)
    assert [each.machine for each in runs] == list(MACHINES)
    assert {each.stored.digest for each in runs if each.stored} == {each.digest for each in done}
    for each in runs:
        assert each.stored is not None
        header = each.stored.evidence.header
        assert each.stored.evidence.subject.machine == each.machine
        assert header.from_release is not None
        assert (header.from_release.machine, header.from_release.version) == (each.machine, "1.0.0")
    assert "legacy-gateway | on gateway-1 gateway-2" in told
    assert "rpi4 | on pi-1" in told
    require_passed(runs)


def test_a_failed_device_is_evidence_and_fails_the_matrix(lab: Path) -> None:
    runs, _, _ = run(lab, rpi4="verdict = Verdict.BRICKED")
    failed = runs[1].stored
    assert failed is not None
    assert failed.evidence.count(Outcome.FAILED) == 1
    with pytest.raises(DeviceError, match=r"rpi4 1\.1\.0: 1 of 1 scenarios failed") as error:
        require_passed(runs)
    assert "./run harness test --scenario" in error.value.details


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("raise errors.LabError('no QEMU')", LabError, "rpi4: no QEMU"),
        ("os.kill(os.getpid(), signal.SIGINT)", LabError, "rpi4: its process was interrupted"),
        ("1 / 0", HarnessError, "rpi4: its process ended with code 1"),
    ],
)
def test_a_machine_that_breaks_does_not_stop_the_other(
    lab: Path, what: str, kind: type[HarnessError], words: str
) -> None:
    runs, _, done = run(lab, rpi4=what)
    assert [stored.evidence.subject.machine for stored in done] == ["legacy-gateway"]
    assert runs[1].stored is None
    with pytest.raises(kind) as error:
        require_passed(runs)
    assert type(error.value) is kind
    assert words in str(error.value)


def test_a_failed_device_matters_more_than_a_broken_lab(lab: Path) -> None:
    runs, _, _ = run(
        lab,
        rpi4="raise errors.LabError('no QEMU')",
        legacy_gateway="verdict = Verdict.INCONSISTENT",
    )
    with pytest.raises(DeviceError) as error:
        require_passed(runs)
    assert "rpi4: no QEMU" in str(error.value)
    assert "inconsistent, expected new or old" in str(error.value)


def test_all_that_does_not_match_is_told_at_once(lab: Path) -> None:
    new = [
        *releases(lab, "1.1.0", "legacy-gateway", "rpi4"),
        *releases(lab, "1.0.0", "legacy-gateway"),
    ]
    old = releases(lab, "1.0.0", "legacy-gateway", "toaster")
    with pytest.raises(ConfigurationError) as refused:
        by_machine(new, old, common(lab, "gateway-1", "toaster", "gateway-9"))
    folder = lab.parent
    assert refused.value.details.splitlines() == [
        f"  - --board gateway-9: {lab} has gateway-1, gateway-2, pi-1, toaster",
        "  - releases: 2 for legacy-gateway, of which there can be one",
        f"  - {folder}/rpi4-1.1.0: no --from for rpi4",
        f"  - {folder}/rpi4-1.1.0: no --board is a rpi4",
        f"  - --from {folder}/toaster-1.0.0: no release for toaster",
        "  - --board toaster: no release for toaster",
    ]


def test_releases_that_cannot_be_read_are_all_named(lab: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        by_machine([lab.parent / "a"], [lab.parent / "b"], common(lab, "pi-1"))
    assert "a/release.json" in refused.value.details
    assert "b/release.json" in refused.value.details


def test_the_command_runs_every_machine_and_tells_each_one_s_error(lab: Path) -> None:
    """The real command and the real children, which find no such scenario."""
    new, old = releases(lab, "1.1.0", *MACHINES), releases(lab, "1.0.0", *MACHINES)
    words = ["test", *map(str, new)]
    words += [word for folder in old for word in ("--from", str(folder))]
    words += ["--board", "pi-1", "--board", "gateway-1", "--lab", str(lab)]
    done = subprocess.run(
        [Path(sys.executable).with_name("harness"), *words, "--scenario", "no-such[scenario]"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "rpi4 | configuration error: no scenario can be run" in done.stderr
    assert "configuration error: 2 did not pass" in done.stderr
    assert done.stdout == ""
