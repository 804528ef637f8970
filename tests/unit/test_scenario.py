"""A scenario under way: however its block ends, its record says what became of it."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.boards.share import Share
from harness.errors import DeviceError, LabError
from harness.evidence.record import Record
from harness.judge.judge import Judge, Judgement
from harness.judge.verdict import Invariant, Verdict
from harness.product.promises import Promises
from harness.scenarios import scenario as scenarios
from harness.scenarios.bench import Bench
from harness.scenarios.scenario import Scenario
from tests.unit.boards.fake import FakeBoard

GOOD = Judgement(verdict=Verdict.NEW, final="new", boots=1, invariants=())


@dataclass
class Shared(FakeBoard):
    """One whose host may have given it too little."""

    got: Share = field(default_factory=Share)
    medium_fails: bool = False

    def mark(self, name: str) -> None:
        if self.medium_fails:
            raise LabError("the host cannot read the medium")

    def share(self) -> Share:
        return self.got


@dataclass
class FakeBench:
    """Updates at once, or refuses."""

    board: Shared
    updates: list[tuple[Any, Any]] = field(default_factory=list)
    refuses: bool = False

    def judge(self, old: Any, new: Any, *, flashed: Any = None) -> Any:
        return SimpleNamespace(old=old, new=new, flashed=flashed or old)

    def update(self, release: Any, judge: Any) -> Judgement:
        if self.refuses:
            raise DeviceError(f"refused {release.version}")
        self.updates.append((release, judge))
        return GOOD


@pytest.fixture
def board() -> Shared:
    return Shared()


@pytest.fixture
def kept() -> list[Record]:
    return []


@pytest.fixture
def bench(board: Shared) -> FakeBench:
    return FakeBench(board)


@pytest.fixture
def scenario(bench: FakeBench, kept: list[Record], tmp_path: Path) -> Scenario:
    return Scenario(
        id="update",
        bench=cast(Bench, bench),
        folder=tmp_path,
        keep=kept.append,
        replay="again",
    )


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
    scenario: Scenario, kept: list[Record], board: Shared
) -> None:
    board.got = Share(ran=100, waited=110)
    with pytest.raises(DeviceError), scenario:
        raise DeviceError("it hangs")
    assert kept[0].verdict is None


def test_a_device_whose_medium_could_not_be_served_has_none_either(
    scenario: Scenario, kept: list[Record], board: Shared
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


@dataclass
class FakeJudge:
    """What a scenario asks of a judge for a dwell."""

    stays: Invariant | Exception
    trouble: LabError | None = None

    def stays_well(self) -> Invariant:
        if isinstance(self.stays, Exception):
            raise self.stays
        return self.stays

    def require_lab(self, problem: str) -> None:
        if self.trouble:
            raise self.trouble


GONE = Invariant(name="stays-well", holds=False, detail="ssh.service does not run any more")


@pytest.mark.parametrize(
    ("stays", "told"), [(GONE, "does not run any more"), (DeviceError("no SSH"), "no SSH")]
)
def test_what_is_not_well_any_more_after_a_dwell_fails(
    scenario: Scenario, kept: list[Record], stays: Invariant | Exception, told: str
) -> None:
    with pytest.raises(AssertionError, match="stays-well"), scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
        scenario.dwell(cast(Judge, FakeJudge(stays)), GOOD)
    assert kept[0].verdict is Verdict.INCONSISTENT
    assert told in kept[0].why


def test_a_bench_that_fails_in_a_dwell_is_the_labs(scenario: Scenario, kept: list[Record]) -> None:
    judge = FakeJudge(DeviceError("no SSH"), LabError("the bench is too busy"))
    with pytest.raises(LabError, match="too busy"), scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
        scenario.dwell(cast(Judge, judge), GOOD)
    assert kept[0].verdict is None


def test_what_has_failed_already_is_not_watched(scenario: Scenario) -> None:
    bricked = replace(GOOD, verdict=Verdict.BRICKED)
    with pytest.raises(AssertionError), scenario:
        scenario.conclude(bricked, expected={Verdict.NEW})
        scenario.dwell(cast(Judge, FakeJudge(AssertionError("was asked"))), bricked)
    assert scenario.record and scenario.record.verdict is Verdict.BRICKED


OLD, NEW = (
    SimpleNamespace(version=version, product=SimpleNamespace(promises=Promises()))
    for version in ("1.0.0", "1.1.0")
)


@pytest.mark.parametrize(("final", "runs", "next_one"), [("new", NEW, OLD), ("old", OLD, NEW)])
def test_the_second_update_leads_on_from_what_runs(
    scenario: Scenario, bench: FakeBench, final: str, runs: Any, next_one: Any
) -> None:
    """And whatever runs, the disk is the one that was flashed."""
    ended = replace(GOOD, verdict=Verdict(final), final=final)
    with scenario:
        scenario.conclude(ended, expected={Verdict(final)})
        scenario.second_update(cast(Judge, bench.judge(OLD, NEW)), ended)
    [(release, judge)] = bench.updates
    assert (release, judge.old, judge.new, judge.flashed) == (next_one, runs, next_one, OLD)


def test_a_second_update_that_fails_is_told(
    scenario: Scenario, bench: FakeBench, kept: list[Record]
) -> None:
    bench.refuses = True
    with pytest.raises(AssertionError, match="second-update"), scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
        scenario.second_update(cast(Judge, bench.judge(OLD, NEW)), GOOD)
    assert "refused 1.0.0" in kept[0].why


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
