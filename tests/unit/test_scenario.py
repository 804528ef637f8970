"""A scenario under way: however its block ends, its record says what became of it."""

import contextlib
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import log
from harness.boards.board import Board
from harness.boards.share import Share
from harness.errors import DeviceError, IdentityChanged, LabError
from harness.evidence.record import Outcome, Record
from harness.judge.judge import Judge
from harness.judge.trouble import lab_trouble
from harness.judge.verdict import Invariant, Judgement, NotChecked, Verdict
from harness.product.promises import Promises
from harness.product.release import Release
from harness.scenarios import products
from harness.scenarios import scenario as scenarios
from harness.scenarios.bench import Bench, Judged
from harness.scenarios.scenario import Scenario
from tests.unit.boards.fake import FakeBoard

GOOD = Judgement(verdict=Verdict.NEW, final="new", boots=1, invariants=())
BRICKED = Judgement(verdict=Verdict.BRICKED, final="", boots=1, invariants=())


@dataclass
class Shared(FakeBoard):
    """One whose host may have given it too little."""

    got: Share = field(default_factory=Share)
    medium_fails: bool = False
    measured: dict[str, dict[str, object]] = field(default_factory=dict)
    logs: list[Path] = field(default_factory=list)

    @property
    def console_logs(self) -> list[Path]:
        return self.logs

    def check_lab(self) -> None:
        if self.medium_fails:
            raise LabError("the host cannot read the medium")

    def share(self) -> Share:
        return self.got

    def figures(self) -> dict[str, dict[str, object]]:
        return self.measured


@dataclass
class FakeBench:
    """Updates at once, or refuses."""

    board: Shared
    updates: list[tuple[Any, Any]] = field(default_factory=list)
    refuses: bool = False
    ends: Judgement = GOOD

    def trouble(self, problem: str) -> LabError | None:
        return lab_trouble(cast(Board, self.board), problem)

    def judge(self, old: Any, new: Any, *, flashed: Any = None) -> Any:
        return SimpleNamespace(old=old, new=new, flashed=flashed or old)

    def reboot(self, judge: Any) -> Judgement:
        return self.ends

    def update(self, release: Any, judge: Any, *, leave_off: bool = False) -> Judgement:
        assert leave_off  # nobody needs the board after a scenario's last update
        if self.refuses:
            raise DeviceError(f"refused {release.version}")
        self.updates.append((release, judge))
        return self.ends


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


def test_a_long_walk_is_recorded_with_its_logs(
    scenario: Scenario, board: Shared, kept: list[Record], tmp_path: Path
) -> None:
    """Thirty events are no file's name: the run ended unsigned."""
    board.logs = [tmp_path / "boot-1.log"]
    board.logs[0].write_text("said")
    names = [f"walk[{','.join(['cut-writing/some:1'] * count)}]" for count in (2, 30, 31)]
    for name in names:
        each = replace(scenario, id=name)
        with each:
            each.conclude(GOOD, expected={Verdict.NEW})
    logs = [record.console_logs[0] for record in kept]
    assert len(set(logs)) == 3
    assert all((tmp_path / each).read_text() == "said" for each in logs)


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


@pytest.mark.parametrize(("ends", "verdict"), [(GOOD, None), (BRICKED, Verdict.BRICKED)])
def test_a_fault_that_was_not_injected_has_no_verdict_but_a_failure_has(
    scenario: Scenario, kept: list[Record], ends: Judgement, verdict: Verdict | None
) -> None:
    kind = AssertionError if verdict else LabError
    with pytest.raises(kind, match=r"update: (not injected: never asked|bricked)"), scenario:
        scenario.injected(False, "never asked")
        scenario.conclude(ends, expected={Verdict.NEW})
    assert kept[0].verdict == verdict


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

    def stays_well(self, before: object) -> Invariant:
        if isinstance(self.stays, Exception):
            raise self.stays
        return self.stays


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


def test_a_bench_that_fails_in_a_dwell_is_the_labs(
    scenario: Scenario, kept: list[Record], board: Shared
) -> None:
    judge = FakeJudge(DeviceError("no SSH"))
    board.got = Share(ran=100, waited=110)
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


ROLLED_BACK = replace(GOOD, verdict=Verdict.RECOVERED, final="old", boots=2)


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize("what", ["left", "not-installed", "no-second-update"])
def test_what_ended_otherwise_for_want_of_time_is_no_verdict(
    scenario: Scenario, kept: list[Record], bench: FakeBench, busy: bool, what: str
) -> None:
    """A trial whose time was over on a host that had none: the board is well, in old."""
    bench.board.got, bench.ends = Share(ran=100, waited=110 if busy else 1), ROLLED_BACK
    with pytest.raises(LabError if busy else AssertionError), scenario:
        scenario.conclude(ROLLED_BACK if what == "left" else GOOD, expected={Verdict.NEW})
        scenario.must("installed", what != "not-installed", "curl's code 28")
        if what == "no-second-update":
            scenario.second_update(cast(Judge, bench.judge(OLD, NEW)), ROLLED_BACK)
    assert (kept[0].verdict is None) is busy
    assert kept[0].outcome is (Outcome.LAB_ERROR if busy else Outcome.FAILED)


def test_a_failure_on_a_starved_board_is_none_whatever_did_not_hold_before(
    scenario: Scenario, kept: list[Record], bench: FakeBench
) -> None:
    """But what is held against it all the same."""
    bench.board.got = Share(ran=100, waited=110)
    for held in (False, True):
        again = scenario.afresh()
        again.control = False
        with pytest.raises(DeviceError), again:
            again.must("stays-well", True)  # at first
            again.must("stays-well", False, "it has reset itself")
            again.must("installed", False, "curl's code 28")
            again.must("slot-content", not held)
            raise DeviceError("no SSH")
        assert kept[-1].outcome is (Outcome.FAILED if held else Outcome.LAB_ERROR)
        assert kept[-1].unchecked("installed").startswith("curl's code 28: fake: the bench")


def test_what_a_starved_board_holds_is_held_against_it(
    scenario: Scenario, kept: list[Record], board: Shared, bench: FakeBench
) -> None:
    board.got = Share(ran=100, waited=110)
    broken = Invariant(name="slot-content", holds=False, detail="neither")
    bench.ends = replace(ROLLED_BACK, verdict=Verdict.INCONSISTENT, invariants=(broken,))
    with pytest.raises(AssertionError, match="slot-content"), scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
        scenario.second_update(cast(Judge, bench.judge(OLD, NEW)), ROLLED_BACK)
    assert kept[0].verdict is Verdict.INCONSISTENT


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (GOOD, ""),
        (ROLLED_BACK, "recovered old"),
        (replace(GOOD, verdict=Verdict.RECOVERED, boots=2), "recovered new"),
        (replace(GOOD, verdict=Verdict.BRICKED, final=""), "bricked"),
    ],
)
def test_what_was_committed_must_come_up_once_more(
    scenario: Scenario, bench: FakeBench, kept: list[Record], ends: Judgement, told: str
) -> None:
    bench.ends = ends
    with pytest.raises(AssertionError) if told else nullcontext(), scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
        scenario.boot_again(cast(Judge, bench.judge(OLD, NEW)), GOOD)
    assert kept[0].passed is (not told)
    assert f"second-boot does not hold: {told}" in kept[0].why or not told


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


LEFT = NotChecked(name="slot-content", why="the board has no medium-read")


def test_what_the_judge_could_not_check_is_recorded(scenario: Scenario, kept: list[Record]) -> None:
    with scenario:
        scenario.conclude(replace(GOOD, not_checked=(LEFT,)), expected={Verdict.NEW})
    assert kept[0].not_checked == (LEFT,)
    again = scenario.afresh()
    with again:
        again.conclude(GOOD, expected={Verdict.NEW})
    assert again.record and again.record.not_checked == ()


def test_a_product_without_a_way_on_is_not_asked_for_it(
    scenario: Scenario, bench: FakeBench, kept: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one that ended in the same crash state."""
    monkeypatch.setattr(products, "no_way_on", lambda running, before: "nobody can build one")
    with scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
        scenario.second_update(cast(Judge, bench.judge(OLD, NEW)), GOOD)
    untold = NotChecked(name="second-update", why="nobody can build one")
    assert (kept[0].not_checked, bench.updates) == ((untold,), [])
    other = scenario.afresh()
    with other:
        other.adopt(scenario.judged(), {Verdict.NEW})
    assert other.record and other.record.not_checked == (untold,)


def test_an_end_that_is_taken_over_is_the_same_end(scenario: Scenario, kept: list[Record]) -> None:
    """Of an equal crash state: with its invariants, but for those that this one has itself."""
    held = Invariant(name="slot-content", holds=False, detail="neither")
    own = Invariant(name="fault-struck", holds=True)
    first = scenario.afresh()
    with pytest.raises(ValueError, match="no judgement yet"):
        first.judged()
    ended = replace(
        GOOD, verdict=Verdict.INCONSISTENT, invariants=(held,), not_checked=(LEFT,), boots=3
    )
    first.must("fault-struck", True)
    first.conclude(replace(ended, not_checked=()), expected={Verdict.NEW})
    with pytest.raises(AssertionError, match="slot-content does not hold: neither"), scenario:
        scenario.must("fault-struck", True)
        assert scenario.adopt(first.judged(), {Verdict.NEW}) == "update"
    assert (kept[0].verdict, kept[0].boots) == (Verdict.INCONSISTENT, 3)
    assert kept[0].invariants == (own, held)
    other = scenario.afresh()
    with other:
        judged = Judged(
            scenario="first", judgement=replace(GOOD, not_checked=(LEFT,)), invariants=()
        )
        other.adopt(judged, {Verdict.NEW})
    assert other.record and other.record.not_checked == (LEFT,)


@pytest.mark.parametrize(("final", "holds"), [("new", True), ("old", False), ("", None)])
def test_the_version_that_it_must_end_in(
    scenario: Scenario, *, final: str, holds: bool | None
) -> None:
    """Where nothing known runs, its verdict says so."""
    trial = scenario.afresh()
    with trial:
        trial.conclude(replace(GOOD, final=final), expected={Verdict.NEW}, final="new")
    assert trial.record
    found = {each.name: each.holds for each in trial.record.invariants}
    assert found.get("final-version") is holds


def test_another_identity_is_told_as_such(scenario: Scenario, kept: list[Record]) -> None:
    """Whatever the bench says: a key does not change because a host is busy."""
    board = cast(Shared, scenario.bench.board)
    board.got = Share(ran=100, waited=110)
    with pytest.raises(IdentityChanged), scenario:
        raise IdentityChanged("another key")
    assert kept[0].verdict is Verdict.INCONSISTENT
    assert [each.name for each in kept[0].broken] == ["identity"]


def test_a_bricked_board_stays_bricked_whatever_comes_then(
    scenario: Scenario, kept: list[Record]
) -> None:
    with pytest.raises(DeviceError), scenario:
        scenario.conclude(replace(GOOD, verdict=Verdict.BRICKED), expected={Verdict.NEW})
        raise DeviceError("no SSH")
    assert kept[0].verdict is Verdict.BRICKED


def test_a_bug_leaves_no_record(scenario: Scenario, kept: list[Record]) -> None:
    with pytest.raises(KeyError), scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
        raise KeyError("a bug")
    assert kept == [] and scenario.record is None


def test_what_happened_and_was_said_is_kept(
    scenario: Scenario, kept: list[Record], tmp_path: Path
) -> None:
    said = tmp_path / "boot-1.log"
    said.write_text("login:")
    cast(Shared, scenario.bench.board).logs = [said]
    with scenario:
        log.emit("reset", board="fake")
        log.emit("progress", done=1)
        scenario.conclude(GOOD, expected={Verdict.NEW})
    log.emit("afterwards")
    assert kept[0].console_logs == ("console/update/boot-1.log",)
    assert (tmp_path / kept[0].console_logs[0]).read_text() == "login:"
    assert [mark["event"] for mark in kept[0].timeline] == ["reset"]
    assert kept[0].timeline[0]["board"] == "fake"


@pytest.mark.parametrize("verdict", [Verdict.NEW, Verdict.BRICKED])
def test_how_the_host_served_its_board_is_kept_whatever_came_of_it(
    scenario: Scenario, board: Shared, kept: list[Record], verdict: Verdict
) -> None:
    board.measured = {"medium": {"boots": [{"requests": 7, "worst": 0.25}]}}
    with contextlib.suppress(AssertionError), scenario:
        scenario.conclude(replace(GOOD, verdict=verdict), expected={Verdict.NEW})
    [event] = [each for each in kept[0].timeline if each["event"] == "medium"]
    assert (event["board"], event["boots"]) == ("fake", [{"requests": 7, "worst": 0.25}])


def test_trouble_of_the_lab_in_a_control_leaves_a_record(
    scenario: Scenario, kept: list[Record], board: Shared
) -> None:
    """It ended the whole run without a signature; and that of any other scenario did not."""
    broken = cast(Release, SimpleNamespace(variants=("x",), slot=SimpleNamespace(sha256="0" * 64)))
    control = replace(scenario.afresh(), id="negative-control[x]")
    with pytest.raises(LabError), control.of_control(broken, Verdict.BRICKED), control:
        raise LabError("the relay is gone")
    [record] = kept
    assert (record.outcome, record.expected) == (Outcome.LAB_ERROR, (Verdict.BRICKED,))
    board.medium_fails = True
    with pytest.raises(DeviceError), control.of_control(broken, Verdict.BRICKED), control:
        raise DeviceError("no health within its time")
    assert kept[1].outcome is Outcome.LAB_ERROR
    board.medium_fails = False
    with pytest.raises(DeviceError), control.of_control(broken, Verdict.BRICKED), control:
        raise DeviceError("no health within its time")
    assert len(kept) == 2


def test_the_record_of_a_control_is_the_tests_to_keep(
    scenario: Scenario, kept: list[Record]
) -> None:
    control = replace(scenario.afresh(), id="negative-control[x]")
    broken = cast(Release, SimpleNamespace(variants=("x",), slot=SimpleNamespace(sha256="0" * 64)))
    with control:  # it does not pass, and that is no failure of the test
        control.conclude(replace(GOOD, verdict=Verdict.BRICKED), expected={Verdict.NEW})
    assert kept == [] and control.record
    control.keep_control(broken, control.record, Verdict.BRICKED)
    assert kept[0].passed and kept[0].control and kept[0].control.variants == ("x",)
    assert kept[0].expected == (Verdict.BRICKED,)
