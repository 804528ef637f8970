"""Scenario 6: the medium itself loses a part of the boot selection while the board is off.

Not a power cut: what was written and flushed is gone. The board must boot what the other copy
selects, and make the copies two again.
"""

from dataclasses import replace

import pytest

from harness.crash.verdict import Judge
from harness.errors import DeviceError
from harness.evidence.record import Fault
from harness.faults.storage import StorageFault
from harness.verdict import Verdict
from tests.hil.bench import Bench
from tests.hil.conftest import Releases
from tests.hil.scenario import Scenario


def newest_copy(judge: Judge) -> tuple[int, int]:
    """Where on the medium the copy of the boot selection is that counts."""
    copies = judge.copies()
    number = copies.index(judge.format.counting(copies)) + 1
    return judge.old.layout[f"boot-selection-{number}"]


@pytest.mark.parametrize("fault", [pytest.param("zero-tail:32768", marks=pytest.mark.ci)])
def test_torn_selection(bench: Bench, releases: Releases, scenario: Scenario, fault: str) -> None:
    old, new = releases.old, releases.new
    judge = Judge(board=bench.board, client=bench.client, old=old, new=new)
    torn = StorageFault.parse(fault)
    with scenario:
        scenario.fault = Fault(printed=str(torn))
        bench.running(old)
        filled = bench.board.run(judge.format.FILL, timeout=60)
        if filled.returncode != 0 or not bench.install(new).ok:
            raise DeviceError(f"{bench.board.name} could not be prepared", details=filled.stderr)
        bench.board.power_off()
        before = judge.medium_selection()
        bench.board.zero(*torn.within(*newest_copy(judge)))
        copies, chosen = judge.copies(), judge.medium_selection()
        there = {"before": str(before), "copies": [str(copy or "torn") for copy in copies]}
        scenario.fault = replace(scenario.fault, parameters=there)
        scenario.must("copy-torn", copies.count(None) == 1, f"copies: {there['copies']}")
        selected = chosen is not None and judge.slot_content(chosen.primary)
        final = selected or "old"
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge.judge(boots_before=boots)
        scenario.conclude(judgement, expected={Verdict(final)}, final=final)
        scenario.second_update(judge, judgement)
