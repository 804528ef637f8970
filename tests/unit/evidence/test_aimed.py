"""What aimed cuts have shown."""

from typing import Any

import pytest

from harness.evidence.aimed import Landed, landed
from harness.evidence.record import Fault, Record
from harness.judge.verdict import Verdict
from tests.unit.evidence.samples import record


def cut(number: int, struck: str, *, verdict: Verdict | None = Verdict.OLD, **more: Any) -> Record:
    parameters = {"struck": struck, "missed": more.pop("missed", [])}
    fault = Fault(printed=f"time:{number}s", parameters=parameters)
    expected = (Verdict.OLD,)
    name = f"aimed-cut[time:{number}s]"
    return record(name, verdict=verdict, expected=expected, fault=fault, **more)


def test_cuts_are_counted_by_the_phase_that_they_struck() -> None:
    records = [cut(n, "write") for n in range(59)]
    records += [cut(60, "switch", missed=["write"]), cut(61, "switch", verdict=Verdict.BRICKED)]
    records += [record("update"), cut(62, "switch", verdict=None, error="the relay hangs")]
    write, switch = landed(records)
    assert (write.cuts, write.failed, write.missed) == (59, 0, 0)
    assert write.bound == pytest.approx(0.0495, abs=1e-4)
    assert write.told == "fewer than 5.0% fail (95 %)"
    assert (switch.cuts, switch.failed, switch.missed, switch.bound) == (2, 1, 1, None)
    assert switch.told == "1 of 2 failed"


@pytest.mark.parametrize(("cuts", "bound"), [(1, 0.95), (299, 0.00997), (2995, 0.001)])
def test_the_bound_is_that_of_no_failure(cuts: int, bound: float) -> None:
    found = Landed(phase="write", cuts=cuts, failed=0, missed=0)
    assert found.bound == pytest.approx(bound, abs=1e-4)
