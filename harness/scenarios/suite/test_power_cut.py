"""Scenario 3: the power is cut, at an exact write, and unflushed data is lost, kept or torn.

The instant of a cut is reached once for each phase; the loss models are then applied to the very
same instant (medium with its volatile cache, QEMU already killed), so that they differ in nothing
else. Equal crash states are one state: the second is not booted again, and says so.
"""

from dataclasses import asdict, replace

import pytest
from _pytest.mark import ParameterSet

from harness.boards.capability import Capability
from harness.builders import builder
from harness.builders.builder import Ability
from harness.clients.boot_selection import Slot, SlotState
from harness.errors import DeviceError, LabError
from harness.evidence.record import Fault
from harness.faults.power import CutPhase, PowerFault
from harness.judge.judge import Judge
from harness.judge.verdict import Verdict
from harness.medium.model import Loss, PowerCut
from harness.product.release import Release
from harness.scenarios import products
from harness.scenarios.bench import Bench, Instant
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.scenarios.suite.moment import Missed, reach

# The instant of the cut is kept, looked at, and ended by each loss.
NEEDS = (
    Capability.CUT_AT_WRITE,
    Capability.CHOOSE_LOSS,
    Capability.SAVE,
    Capability.MEDIUM_READ,
)
# Nothing may have selected the new version yet.
MUST_END_OLD = {*(phase for phase in CutPhase if phase.percent is not None), CutPhase.BEFORE_SWITCH}


# What writes then was in the field: its client, or the bootloader that it was flashed with.
# In the other phases it is the version that was installed.
OF_THE_FIELD = {*(each for each in CutPhase if each.during_install), CutPhase.BOOTLOADER}


def between(releases: Releases, scenario: Scenario, phase: CutPhase) -> tuple[Release, Release]:
    """The versions of an update in which the new one is what writes when the power goes."""
    return releases.after(scenario) if phase in OF_THE_FIELD else (releases.old, releases.new)


def strike(bench: Bench, fault: PowerFault, old: Release, new: Release) -> Instant:
    """Bring the board to the cut's phase and take the power; leaves it off, nothing lost yet."""
    board = bench.board
    bench.running(old)
    next_boot = board.boots + 1
    judge = bench.judge(old, new)
    if not fault.phase.during_install and not bench.install(new).ok:
        raise DeviceError(f"{board.name} refused {new.version} before the cut")
    try:
        target = reach(bench, judge, fault.phase, new, number=fault.number)
    except Missed as missed:
        if not missed.result.ok:
            raise
        raise LabError(f"{fault}: not injected: {missed}", details=missed.details) from missed
    _require_phase(judge, fault.phase, target)
    if not fault.phase.during_install and board.boots != next_boot:
        raise DeviceError(f"{board.name}: cut in boot {board.boots}, not in boot {next_boot}")
    name = f"cut-{fault.phase}-{fault.number}-{old.slot.sha256[:8]}-{new.slot.sha256[:8]}"
    return Instant(state=board.can.save.save(name), target=target)


# State and attempts left of the target slot before and after the change that the cut meets in its
# middle, with {all} and {less} after an attempt: whatever else the trigger may have met is not the
# phase that was asked for.
_CHANGES = {
    CutPhase.SWITCH: ("bad/{all}", "trial/{all}"),
    CutPhase.BOOTLOADER: ("trial/{all}", "trial/{less}"),
    CutPhase.COMMIT: ("trial/{less}", "good/{all}"),
    CutPhase.ROLLBACK: ("trial/{less}", "bad/{all}"),
}


def _require_phase(judge: Judge, phase: CutPhase, target: Slot) -> None:
    """Look at the medium at the instant of the cut, nothing lost yet; DeviceError if elsewhere."""
    copies, content = judge.medium.copies(), judge.medium.content(target)
    left = {"all": judge.attempts, "less": judge.attempts - 1}
    whole = len(copies) == 1 or judge.medium.format.redundant(copies)
    chosen = judge.medium.format.counting(copies) if whole else None
    if phase.percent is not None:  # the slot is not completely written
        struck = content != "new"
    elif phase.is_word or phase.is_counted:  # it is, and has been all along
        struck = content == "new"
    elif phase is CutPhase.BEFORE_SWITCH:  # it is, and nothing selects it
        struck = content == "new" and chosen is not None and chosen.primary == target.other
    elif phase is CutPhase.FIRST_BOOT:  # the attempt has been counted
        choice = chosen.slots[target] if chosen else None
        struck = choice is not None and (choice.left, choice.state) in (
            (left["less"], SlotState.TRIAL),
            (left["less"], SlotState.GOOD),  # of a design that knows no trial
        )
    else:
        before, after = (each.format_map(left) for each in _CHANGES[phase])
        struck = judge.medium.format.halfway(copies, target, before, after)
    if not struck:
        seen = f"slot {target}: {content or 'neither'}, {[str(copy or 'torn') for copy in copies]}"
        raise DeviceError(f"the power was not cut in phase {phase}", details=f"medium: {seen}")


def what_is_there(judge: Judge, instant: Instant, cut: PowerCut) -> dict[str, object]:
    """The crash state in words, read from the medium before anything boots from it."""
    copies = [str(copy or "torn") for copy in judge.medium.copies()]
    return {
        "cut": asdict(cut),
        "target": instant.target,
        "target_content": judge.medium.content(instant.target) or "neither",
        **{f"copy{number}": copy for number, copy in enumerate(copies, 1)},
    }


def must_end(phase: CutPhase, judge: Judge, target: Slot) -> tuple[str, set[Verdict]]:
    """The version that the crash state selects: the board must come up in it, at the first boot.
    After a device's word it is the new one, whatever is on the medium.

    Only a bad version that was cut while being rolled back may be tried once more.
    """
    chosen = judge.medium.selection()
    selected = chosen is not None and chosen.primary == target
    if phase is CutPhase.ROLLBACK:
        return "old", {Verdict.OLD, Verdict.RECOVERED}
    if phase.is_word:
        return "new", {Verdict.NEW}
    final = "new" if selected and phase not in MUST_END_OLD else "old"
    return final, {Verdict(final)}


def power_cut(
    bench: Bench,
    scenario: Scenario,
    fault: PowerFault,
    old: Release,
    new: Release,
    *,
    good: Release,
) -> None:
    """One cut under one loss model, then: verdict, invariants, and a second update (to `good`)."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(fault), seed=fault.loss.seed)
        key = f"{old.slot.sha256}{new.slot.sha256}{fault.phase}{fault.number}"
        if key not in bench.instants:
            bench.instants[key] = strike(bench, fault, old, new)
        instant = bench.instants[key]
        bench.board.can.save.restore(instant.state)
        cut = bench.board.can.choose_loss.cut(fault.loss)
        state = (key, cut.kept, cut.torn)  # the same writes kept of the same instant: one state
        there = what_is_there(judge, instant, cut)
        final, expected = must_end(fault.phase, judge, instant.target)
        there["second_update"] = good.version
        if state in bench.judged:
            there["same_state_as"] = scenario.adopt(bench.judged[state], expected)
        scenario.fault = replace(scenario.fault, parameters=there)
        if state in bench.judged:
            return
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge.judge(boots_before=boots)
        scenario.conclude(judgement, expected=expected, final=final)
        after = bench.judge(old, good)
        scenario.second_update(after, judgement)
        bench.judged[state] = scenario.judged()


def after_the_cut(scenario: Scenario, phase: CutPhase, old: Release, new: Release) -> Release:
    """What is installed when the device runs `old` again. With half of the slot written it is not
    what was cut: a client that goes on from there must ask whether it is still the same. Where
    nobody can make a third version, the scenario says so."""
    if phase is not CutPhase.WRITE_50:
        return new
    if why := builder.lacking(old, Ability.NEWER):
        scenario.leave("another-after-the-cut", why)
        return new
    return products.alike(old, version=f"{old.version}+other", follows=True)


# What `./run test` can afford: most phases once; an exploration tries all losses at each write.
# In `write` and `first-boot` more than one sector is unflushed; elsewhere `some` and `torn` can
# only come to the states of `none` or `all`, and say so (`same_state_as`).
IN_CI = {
    CutPhase.WRITE_50: "none",
    CutPhase.BOOTLOADER: "none",
    CutPhase.FIRST_BOOT: "torn:1",
    CutPhase.COMMIT: "all",
    CutPhase.ROLLBACK: "all",
}
ON_SLOW_BOARDS = PowerFault(phase=CutPhase.BOOTLOADER, loss=Loss.parse("none"))


def _cases() -> list[ParameterSet]:
    """Every phase under every loss model; a phase stays on one worker, which shares its instant."""
    cases = []
    for phase in (each for each in CutPhase if not each.is_counted):  # those are asked for
        for loss in ("none", "all", "some:1", "torn:1"):
            fault = PowerFault(phase=phase, loss=Loss.parse(loss))
            marks = [pytest.mark.xdist_group(str(phase))]
            if phase is CutPhase.ROLLBACK:
                marks.append(pytest.mark.variants("failing-service"))
            if phase in (CutPhase.COMMIT, CutPhase.ROLLBACK):
                marks.append(pytest.mark.raw_selection)
            if IN_CI.get(phase) == loss:
                marks.append(pytest.mark.ci(slow=fault == ON_SLOW_BOARDS))
            cases.append(pytest.param(fault, id=str(fault), marks=marks))
    return cases


@pytest.mark.needs(*NEEDS)
@pytest.mark.parametrize("fault", _cases())
def test_power_cut(bench: Bench, releases: Releases, scenario: Scenario, fault: PowerFault) -> None:
    old, new = between(releases, scenario, fault.phase)
    good = after_the_cut(scenario, fault.phase, old, new)
    if fault.phase is CutPhase.ROLLBACK:  # there must be something to roll back from
        new = releases.variant_of(new, "failing-service")
    power_cut(bench, scenario, fault, old, new, good=good)
