"""A scenario under way: however its block ends, its record says what became of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.boards.share import Share
from harness.crash.verdict import Judgement
from harness.errors import DeviceError, LabError
from harness.evidence.record import Record
from harness.verdict import Verdict
from tests.hil import scenario as scenarios
from tests.hil.bench import Bench
from tests.hil.scenario import Scenario

GOOD = Judgement(verdict=Verdict.NEW, final="new", boots=1, invariants=())


@dataclass
class FakeBoard:
    name: str = "fake"
    machine: str = "fake"
    console_logs: list[Path] = field(default_factory=list)
    got: Share = field(default_factory=Share)
    medium_fails: bool = False

    def mark(self, name: str) -> None:
        if self.medium_fails:
            raise LabError("the host cannot read the medium")

    def share(self) -> Share:
        return self.got


@pytest.fixture
def board() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
def kept() -> list[Record]:
    return []


@pytest.fixture
def scenario(board: FakeBoard, kept: list[Record], tmp_path: Path) -> Scenario:
    bench = cast(Bench, SimpleNamespace(board=board))
    return Scenario(id="update", bench=bench, folder=tmp_path, keep=kept.append, replay="again")


def test_what_was_concluded_is_recorded(scenario: Scenario, kept: list[Record]) -> None:
    with scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
    [record] = kept
    assert (record.verdict, record.passed, record.boots) == ("new", True, 1)


def test_an_invariant_of_its_own_that_does_not_hold_fails(
    scenario: Scenario, kept: list[Record]
) -> None:
    with pytest.raises(AssertionError, match="room-kept does not hold: none"), scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
        scenario.must("room-kept", False, "none")
    assert kept[0].verdict is Verdict.INCONSISTENT


def test_another_verdict_than_expected_fails(scenario: Scenario, kept: list[Record]) -> None:
    with pytest.raises(AssertionError), scenario:
        scenario.conclude(GOOD, expected={Verdict.OLD})
    assert not kept[0].passed


def test_nothing_concluded_is_inconsistent(scenario: Scenario, kept: list[Record]) -> None:
    with pytest.raises(AssertionError), scenario:
        pass
    assert kept[0].verdict is Verdict.INCONSISTENT


@pytest.mark.parametrize(
    ("error", "verdict"), [(DeviceError("it hangs"), "inconsistent"), (LabError("no relay"), None)]
)
def test_a_device_that_fails_has_a_verdict_and_a_lab_has_none(
    scenario: Scenario, kept: list[Record], error: Exception, verdict: str | None
) -> None:
    with pytest.raises(type(error)), scenario:
        raise error
    assert kept[0].verdict == verdict
    assert str(error) in kept[0].why


def test_a_device_that_got_no_time_has_none_either(
    scenario: Scenario, kept: list[Record], board: FakeBoard
) -> None:
    board.got = Share(ran=100, waited=110)
    with pytest.raises(DeviceError), scenario:
        raise DeviceError("it hangs")
    assert kept[0].verdict is None


def test_a_device_whose_medium_could_not_be_served_has_none_either(
    scenario: Scenario, kept: list[Record], board: FakeBoard
) -> None:
    board.medium_fails = True
    with pytest.raises(DeviceError), scenario:
        raise DeviceError("it hangs")
    assert kept[0].verdict is None
    assert "cannot read the medium" in kept[0].why


def test_a_clock_that_is_set_back_meanwhile_costs_no_record(
    scenario: Scenario, kept: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        hours = 0

        @classmethod
        def now(cls, tz: object = None) -> "Clock":
            cls.hours -= 1
            return cast(Clock, datetime.now(UTC) + timedelta(hours=cls.hours))

    monkeypatch.setattr(scenarios, "datetime", Clock)
    with scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
    assert kept[0].finished >= kept[0].started


def test_a_scenario_afresh_knows_nothing_of_the_one_before(
    scenario: Scenario, kept: list[Record]
) -> None:
    with pytest.raises(AssertionError), scenario:
        scenario.must("room-kept", False, "none")
    again = scenario.afresh()
    with again:
        again.conclude(GOOD, expected={Verdict.NEW})
    assert again.record and again.record.passed
    assert len(kept) == 1
