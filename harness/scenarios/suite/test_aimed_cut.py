"""Power cuts of a real board: aimed at what can be seen, and looked up afterwards.

A miss is a matter of the lab: it has no verdict, and is tried again. What the medium selects after
the cut is what must come up.
"""

from collections.abc import Callable
from dataclasses import dataclass

from harness.boards.capability import Capability
from harness.errors import LabError
from harness.evidence.record import Fault
from harness.faults.aim import Aim, AimKind, StruckPhase, Sweep
from harness.judge.judge import Judge
from harness.judge.provision import BOOT_SECONDS
from harness.judge.verdict import Judgement, Verdict
from harness.log import emit
from harness.product.release import Release
from harness.scenarios.aimed import Shot, measure_latency, shoot, unmeasured
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.scenarios.struck import where_struck

ATTEMPTS = 3  # to land in a phase that was asked for
ANY = frozenset({Verdict.OLD, Verdict.NEW, Verdict.RECOVERED})


@dataclass(frozen=True, kw_only=True)
class Struck:
    """A cut that landed: where, what must come of it, and what is told of it."""

    shot: Shot
    phase: StruckPhase | None
    final: str  # empty: nobody can say
    told: dict[str, object]


def strike(bench: Bench, judge: Judge, aim: Aim, old: Release, new: Release) -> Struck:
    """Bring the board to `old`, update it and cut; it is off. LabError when no cut has landed in
    the phase that was asked for."""
    missed: list[str] = []
    for _ in range(ATTEMPTS):
        ready(bench, old)
        shot = shoot(bench, aim, new)
        if Capability.MEDIUM_READ not in bench.board.can:
            return Struck(shot=shot, phase=None, final="", told=_told(shot, None, missed, {}))
        phase, seen = where_struck(judge, shot, new)
        if aim.phase in (None, phase):
            chosen = judge.medium.selection()
            selected = chosen is not None and chosen.primary == shot.target
            final = "new" if selected else "old"
            told = _told(shot, phase, missed, seen)
            return Struck(shot=shot, phase=phase, final=final, told=told)
        emit("missed", board=bench.board.name, aim=str(aim), struck=phase, **seen)
        missed.append(str(phase))
    raise LabError(
        f"{bench.board.name}: no cut at {aim} has landed in {aim.phase}",
        details=f"struck: {', '.join(missed)}",
        hint="aim elsewhere, or measure the relay (harness doctor)",
    )


def judged(bench: Bench, judge: Judge, struck: Struck) -> tuple[Judgement, frozenset[Verdict]]:
    """Power on, and what comes of it, with the verdicts that are right."""
    boots = bench.board.boots
    bench.board.power_on()
    judgement = judge.judge(boots_before=boots)
    return judgement, frozenset({Verdict(struck.final)}) if struck.final else ANY


def aimed_cut(bench: Bench, scenario: Scenario, aim: Aim, old: Release, new: Release) -> None:
    """One cut, then: verdict, invariants, and a second update."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(aim))
        struck = strike(bench, judge, aim, old, new)
        scenario.fault = Fault(printed=str(aim), parameters=struck.told)
        judgement, expected = judged(bench, judge, struck)
        scenario.conclude(judgement, expected=expected, final=struck.final)
        scenario.second_update(judge, judgement)


def bisected_cuts(
    scenario: Scenario,
    sweep: Sweep,
    strike: Callable[[Aim], Struck],
    judged: Callable[[Struck], tuple[Judgement, frozenset[Verdict]]],
) -> None:
    """Cuts around each change of what an update comes to, until neighbours are a step apart. The
    first cut after which not all is well is the end: its verdict is the scenario's."""
    cuts: dict[int, dict[str, object]] = {}

    def outcome(at: int) -> str:
        if at not in cuts:
            aim = Aim.at(at)
            scenario.fault = Fault(printed=str(aim), parameters={"cuts": [*cuts.values()]})
            struck = strike(aim)
            cut = {"aim": str(aim), "passed": False, **struck.told}
            cuts[at] = cut
            parameters = {**struck.told, "cuts": [*cuts.values()]}
            scenario.fault = Fault(printed=str(aim), parameters=parameters)
            judgement, expected = judged(struck)
            cut["verdict"] = str(judgement.verdict)
            scenario.conclude(judgement, expected=expected, final=struck.final)
            if not scenario.ends_well:
                raise _EndedBadly
            cut["passed"] = True
        return f"{cuts[at]['struck']}: {cuts[at]['verdict']}"

    with scenario:
        try:
            _bisect(outcome, sweep.first, sweep.last, sweep.step)
        except _EndedBadly:
            emit("found", aim=scenario.fault.printed if scenario.fault else "", cuts=len(cuts))


class _EndedBadly(Exception):
    """A cut after which not all was well."""


def _bisect(outcome: Callable[[int], str], low: int, high: int, step: int) -> None:
    """All in milliseconds."""
    if outcome(low) != outcome(high) and high - low > step:
        middle = (low + high) // 2
        _bisect(outcome, low, middle, step)
        _bisect(outcome, middle, high, step)


def ready(bench: Bench, old: Release) -> None:
    """Bring the board to `old`, healthy; its relay is measured once, by a cut while it is idle."""
    bench.running(old)
    if unmeasured(bench.board):
        measure_latency(bench)
        bench.board.power_on()
        bench.client.await_health(timeout=BOOT_SECONDS)


def _told(
    shot: Shot, phase: StruckPhase | None, missed: list[str], seen: dict[str, object]
) -> dict[str, object]:
    struck = str(phase) if phase else "not known: nobody reads the medium"
    return {
        "struck": struck,
        "missed": missed,
        "asked": shot.asked,
        "latency": shot.latency,
        "target": str(shot.target),
        **seen,
    }


def test_aimed_cut(bench: Bench, releases: Releases, scenario: Scenario, aimed: str) -> None:
    # What the console shows comes after the install: there it is the new version's first boots.
    shown = aimed.startswith(AimKind.CONSOLE)
    old, new = (releases.old, releases.new) if shown else releases.after(scenario)
    aim = Aim.parse(aimed, size=new.artifact.stat().st_size)
    aimed_cut(bench, scenario, aim, old, new)


def test_bisected_cuts(bench: Bench, releases: Releases, scenario: Scenario, swept: str) -> None:
    old, new = releases.after(scenario)
    judge = bench.judge(old, new)
    bisected_cuts(
        scenario,
        Sweep.parse(swept),
        lambda aim: strike(bench, judge, aim, old, new),
        lambda struck: judged(bench, judge, struck),
    )
