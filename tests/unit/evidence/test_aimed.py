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


def test_what_failed_before_its_cut_has_struck_nothing() -> None:
    fault = Fault(printed="time:1s")
    early = record("aimed-cut[time:1s]", verdict=Verdict.INCONSISTENT, fault=fault)
    assert landed([early]) == []


def test_each_cut_of_a_search_counts() -> None:
    def one(struck: str, *, passed: bool) -> dict[str, object]:
        return {"struck": struck, "missed": ["write"], "passed": passed}

    told = [one("write", passed=True), one("write", passed=True), one("switch", passed=False)]
    fault = Fault(printed="time:3s", parameters={"struck": "switch", "cuts": told})
    name = "bisected-cuts[0s..9s/1000ms]"
    write, switch = landed([record(name, verdict=Verdict.BRICKED, fault=fault)])
    assert (write.phase, write.cuts, write.failed, write.missed) == ("write", 2, 0, 2)
    assert (switch.phase, switch.cuts, switch.failed) == ("switch", 1, 1)
    assert landed([record(name, verdict=None, fault=fault)]) == []


@pytest.mark.parametrize(
    ("cuts", "told"), [(58, "5.1%"), (59, "5.0%"), (100_000, "0.1%"), (1, "95.0%")]
)
def test_a_bound_is_rounded_up(cuts: int, told: str) -> None:
    found = Landed(phase="write", cuts=cuts, failed=0, missed=0)
    assert found.told == f"fewer than {told} fail (95 %)"


@pytest.mark.parametrize(("cuts", "bound"), [(1, 0.95), (299, 0.00997), (2995, 0.001)])
def test_the_bound_is_that_of_no_failure(cuts: int, bound: float) -> None:
    found = Landed(phase="write", cuts=cuts, failed=0, missed=0)
    assert found.bound == pytest.approx(bound, abs=1e-4)
