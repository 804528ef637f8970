from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from harness.errors import ConfigurationError
from harness.evidence.record import Control, Outcome, Record, standing
from harness.judge.verdict import Invariant, NotChecked, Verdict
from tests.unit.evidence.samples import NOON, record


def test_round_trip() -> None:
    first = record()
    assert Record.from_data(first.to_data(), what="x") == first


def test_what_was_not_checked_is_kept_and_neither_holds_nor_fails() -> None:
    left = record(not_checked=(NotChecked(name="slot-content", why="no medium-read"),))
    assert Record.from_data(left.to_data(), what="x") == left
    assert left.passed and left.broken == ()
    assert left.unchecked("slot-content") == "no medium-read"
    assert left.unchecked("data partition unchanged") == ""
    assert left.unchecked("boot-selection") == "the scenario does not look at it"


def test_expected_verdict_with_all_invariants_passes() -> None:
    assert record().outcome is Outcome.PASSED
    assert record().why == ""


@pytest.mark.parametrize("verdict", [Verdict.BRICKED, Verdict.INCONSISTENT])
def test_a_failing_verdict_fails_even_when_expected(verdict: Verdict) -> None:
    assert record(verdict=verdict, expected=(verdict,)).outcome is Outcome.FAILED


def test_an_unexpected_verdict_fails() -> None:
    result = record(verdict=Verdict.RECOVERED)
    assert result.outcome is Outcome.FAILED
    assert result.why == "recovered, expected new or old"


def test_a_broken_invariant_fails() -> None:
    result = record(invariants=(Invariant(name="slots", holds=False, detail="A is neither"),))
    assert result.outcome is Outcome.FAILED
    assert result.why == "slots does not hold: A is neither"


def test_lab_trouble_is_neither_passed_nor_failed() -> None:
    assert record(verdict=None).outcome is Outcome.LAB_ERROR


def test_lab_trouble_does_not_hide_a_broken_invariant() -> None:
    result = record(verdict=None, invariants=(Invariant(name="slots", holds=False),))
    assert result.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"not_checked": (NotChecked(name="data partition unchanged", why="no way"),)},
            "not_checked: data partition unchanged was",
        ),
        ({"error": "the lab broke"}, "cannot come with a verdict"),
        ({"verdict": None, "error": ""}, "no error that says why"),
        ({"expected": ()}, "expected: empty"),
        ({"scenario": ""}, "scenario: empty"),
        ({"replay": ""}, "replay: empty"),
        ({"finished": NOON - timedelta(days=1)}, "before started"),
        ({"started": NOON.replace(tzinfo=None)}, "started: not in UTC"),
        ({"console_logs": ("../../etc/passwd",)}, "leaves the run's folder"),
        ({"timeline": ({"seconds": "1"},)}, "timeline.0"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], problem: str) -> None:
    if change.get("started"):
        change["finished"] = NOON.replace(tzinfo=None)
    with pytest.raises(ValueError, match=problem):
        record(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "passed"},  # what its content does not bear out
        {"outcome": None},
        {"surprise": 1},
        {"boots": "2"},
        {"verdict": "fine"},
        {"invariants": [{"name": "data", "holds": "no"}]},
        {"invariants": [{"name": "data", "holds": True, "detail": "", "also": 1}]},
    ],
)
def test_changed_data_is_refused(change: dict[str, Any]) -> None:
    data = record(verdict=Verdict.BRICKED).to_data()
    Record.from_data(data, what="unchanged")
    with pytest.raises(ConfigurationError):
        Record.from_data({**data, **change}, what="changed")


CONTROL = Control(variants=("no-boot-counter",), slot="0" * 64)


def control(verdict: Verdict | None, name: str = "negative-control[x]") -> Record:
    return record(name, verdict, expected=(Verdict.BRICKED,), control=CONTROL)


def test_a_control_passes_with_the_verdict_that_it_must_have() -> None:
    assert control(Verdict.BRICKED).outcome is Outcome.PASSED
    assert control(Verdict.NEW).outcome is Outcome.FAILED
    assert control(None).outcome is Outcome.LAB_ERROR
    for name in ("negative-control[x]", "crash[careless-client]"):
        noticed = control(Verdict.BRICKED, name)
        assert Record.from_data(noticed.to_data(), what="x") == noticed


def test_nothing_else_passes_as_a_control() -> None:
    """Or a bricked device could be called expected."""
    with pytest.raises(ValueError, match="control: only of what begins with"):
        control(Verdict.BRICKED, "power-cut[switch/all]")
    with pytest.raises(ValueError, match="without a variant"):
        record("negative-control[x]", Verdict.BRICKED, control=replace(CONTROL, variants=()))
    with pytest.raises(ValueError, match="expected to pass what it must notice"):
        record("negative-control[x]", Verdict.NEW, expected=(Verdict.NEW,), control=CONTROL)
    with pytest.raises(ValueError, match="expected to pass what it must notice"):
        control(Verdict.BRICKED, "correct-product[x]")
    with pytest.raises(ValueError, match="control: only of what begins with"):
        control(Verdict.BRICKED, "crash")  # an exploration of the release itself


def test_a_failure_stands_whatever_comes_later() -> None:
    failed = record(verdict=Verdict.BRICKED, minute=1)
    assert standing([record(minute=2), failed])["update"] is failed
    assert standing([record(minute=0), failed, record(minute=2)])["update"] is failed


def test_lab_trouble_stands_until_a_later_run() -> None:
    trouble = record(verdict=None, minute=2)
    later = record(minute=3)
    assert standing([record(minute=1), trouble])["update"] is trouble
    assert standing([later, trouble])["update"] is later
