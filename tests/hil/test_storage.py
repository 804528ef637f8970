"""Scenario 6: the medium itself loses a part of the boot selection while the board is off.

Not a power cut: what was written and flushed is gone. The board must boot what the other copy
selects (a version that was committed in any case), and make the copies two again.
"""

from dataclasses import replace

import pytest

from harness.crash.verdict import Judge
from harness.errors import DeviceError
from harness.evidence.record import Fault
from harness.faults.storage import StorageFault
from harness.images.release import Release
from harness.verdict import Verdict
from tests.hil.bench import Bench
from tests.hil.conftest import Releases
from tests.hil.scenario import Scenario


def newest_copy(judge: Judge) -> tuple[int, int]:
    """Where on the medium the copy of the boot selection is that counts."""
    copies = judge.copies()
    number = copies.index(judge.format.counting(copies)) + 1
    return judge.old.layout[f"boot-selection-{number}"]


def torn_selection(
    bench: Bench, scenario: Scenario, torn: StorageFault, old: Release, new: Release, *, kept: bool
) -> None:
    """New is installed, and, with `kept`, booted and committed; then the fault strikes the copy
    of the boot selection that counts."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(torn))
        bench.running(old)
        if kept:
            _must(bench, bench.update(new, judge).final == "new", "did not keep the new version")
        filled = bench.board.run(judge.format.FILL, timeout=60)
        _must(bench, filled.returncode == 0, filled.stderr)
        if not kept:
            _must(bench, bench.install(new).ok, f"refused {new.version}")
        bench.board.run("sync", timeout=60)
        bench.board.power_off()
        before = judge.medium_selection()
        bench.board.zero(*torn.within(*newest_copy(judge)))
        copies, chosen = judge.copies(), judge.medium_selection()
        there = {"before": str(before), "copies": [str(copy or "torn") for copy in copies]}
        scenario.fault = replace(scenario.fault, parameters=there)
        scenario.must("copy-torn", copies.count(None) == 1, f"copies: {there['copies']}")
        selected = "" if chosen is None else judge.slot_content(chosen.primary)
        final = "new" if kept else selected or "old"
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge.judge(boots_before=boots)
        scenario.conclude(judgement, expected={Verdict(final)}, final=final)
        scenario.second_update(judge, judgement)


def _must(bench: Bench, done: bool, why: str) -> None:
    if not done:
        raise DeviceError(f"{bench.board.name} could not be prepared", details=why)


@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        pytest.param("zero-tail:32768", False, id="zero-tail:32768", marks=pytest.mark.ci),
        pytest.param("zero-tail:32768", True, id="committed/zero-tail:32768"),
    ],
)
def test_torn_selection(
    bench: Bench, releases: Releases, scenario: Scenario, fault: str, kept: bool
) -> None:
    torn = StorageFault.parse(fault)
    torn_selection(bench, scenario, torn, releases.old, releases.new, kept=kept)
