"""What the runner relies on, and what it makes of pytest's reports."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.evidence.store import Run
from harness.process import run
from harness.runner import Recorder

GROUPED = """
import os, pathlib, pytest

@pytest.mark.parametrize("case", [
    pytest.param((group, loss), id=f"{group}/{loss}", marks=pytest.mark.xdist_group(group))
    for group in ("write:50%", "switch", "commit") for loss in ("none", "all", "torn")
])
def test_case(case):
    worker = os.environ["PYTEST_XDIST_WORKER"]
    pathlib.Path(__file__).with_name(f"{case[0].replace('%', '')}.{worker}").touch()
"""


def test_a_group_stays_on_one_worker(tmp_path: Path) -> None:
    """Losses share the instant of their phase only if xdist's groups work with this pytest."""
    (tmp_path / "test_grouped.py").write_text(GROUPED)
    words = ["-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    run([sys.executable, *words, tmp_path], timeout=60, cwd=tmp_path)
    workers = [path.name for path in tmp_path.glob("*.gw*")]
    assert len(workers) == 3, workers


class Kept:
    """A run that keeps nothing on disk."""

    def __init__(self) -> None:
        self.records: list[object] = []

    def add(self, record: object) -> None:
        self.records.append(record)


def recorded(outcome: str, *data: dict[str, object]) -> Recorder:
    recorder = Recorder(cast(Run, Kept()))
    report = SimpleNamespace(
        failed=outcome == "failed", nodeid="test_x", when="call", harness_records=list(data)
    )
    recorder.pytest_runtest_logreport(cast(pytest.TestReport, report))
    return recorder


def test_a_failed_test_without_a_failed_record_is_unexplained() -> None:
    """A negative control that is not caught, or a bug: nothing may be signed then."""
    assert recorded("failed").unexplained == ["test_x (call)"]
    assert recorded("passed").unexplained == []


def test_a_scenario_that_does_not_exist_is_told_at_once(tmp_path: Path) -> None:
    """In a process of its own: labgrid's plugin does not bear a pytest within pytest."""
    words = ["test", tmp_path, "--from", tmp_path, "--board", "gateway-qemu"]
    words += ["--scenario", "no-such[scenario]"]
    start = "from harness.cli import main; main()"
    done = run([sys.executable, "-c", start, *map(str, words)], timeout=60, check=False)
    assert done.returncode == 2
    assert "no such scenario: no-such[scenario]" in done.stderr
