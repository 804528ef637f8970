"""Scenario 3: the power is cut, at an exact write, and unflushed data is lost, kept or torn.

The instant of a cut is reached once for each phase; the loss models are then applied to the very
same instant (medium with its volatile cache, QEMU already killed), so that they differ in nothing
else. Equal crash states are one state: the second is not booted again, and says so.
"""

from dataclasses import asdict, replace

import pytest
from _pytest.mark import ParameterSet

from harness.boards.medium.model import Cut, Loss
from harness.clients.boot_selection import parse_environment_block
from harness.crash.verdict import Judge
from harness.errors import DeviceError
from harness.evidence.record import Fault
from harness.faults.power import Phase, PowerFault, trigger
from harness.images.release import Release
from harness.verdict import Verdict
from tests.hil.bench import BOOT_SECONDS, DOWNLOAD_AND_INSTALL_SECONDS, Bench, Instant
from tests.hil.conftest import Releases
from tests.hil.scenario import Scenario

UPDATE_SURVIVED = {Verdict.OLD, Verdict.NEW, Verdict.RECOVERED}
# Nothing has selected the new version yet, or it was found to be bad.
MUST_END_OLD = {
    *(phase for phase in Phase if phase.percent is not None),
    Phase.BEFORE_SWITCH,
    Phase.ROLLBACK,
}


def strike(bench: Bench, fault: PowerFault, old: Release, new: Release) -> Instant:
    """Bring the board to the cut's phase and take the power; leaves it off, nothing lost yet."""
    board, client = bench.board, bench.client
    bench.running(old)
    target = client.status(timeout=60).other_slot
    strikes = trigger(fault.phase, old.layout, target, new.slot.size, next_boot=board.boots + 1)
    if fault.phase.during_install:
        board.arm(strikes)
        client.start_install(bench.offer(new))
        board.wait_cut(DOWNLOAD_AND_INSTALL_SECONDS)
    else:
        if not bench.install(new).ok:
            raise DeviceError(f"{board.name} refused {new.version} before the cut")
        board.arm(strikes)
        client.reboot(timeout=30)
        board.wait_cut(BOOT_SECONDS)
    return Instant(state=board.save(f"cut-{fault.phase}"), target=target)


def what_is_there(judge: Judge, instant: Instant, cut: Cut) -> dict[str, object]:
    """The crash state in words, read from the medium before anything boots from it."""

    def copy(number: int) -> str:
        region = judge.old.layout[f"boot-selection-{number}"]
        return str(parse_environment_block(judge.board.read(*region)) or "torn")

    return {
        "cut": asdict(cut),
        "target": instant.target,
        "target_content": judge.slot_content(instant.target) or "neither",
        "copy1": copy(1),
        "copy2": copy(2),
    }


def in_phase(phase: Phase, cut: Cut, there: dict[str, object]) -> bool:
    """Whether the crash state is one that only a cut in that phase leaves behind."""
    if phase.percent is not None:  # the slot was never completely written
        return there["target_content"] != "new"
    if phase is Phase.BEFORE_SWITCH:  # it was, and nothing selects it
        return there["target_content"] == "new" and there["copy1"] == there["copy2"]
    return cut.unflushed > 0  # the write that was struck, at the least


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
    judge = Judge(board=bench.board, client=bench.client, old=old, new=new)
    with scenario:
        scenario.fault = Fault(printed=str(fault), seed=fault.loss.seed)
        key = f"{old.slot.sha256}{new.slot.sha256}{fault.phase}"
        if key not in bench.instants:
            bench.instants[key] = strike(bench, fault, old, new)
        instant = bench.instants[key]
        bench.board.restore(instant.state)
        cut = bench.board.cut(fault.loss)
        state = (key, cut.kept, cut.torn)  # the same writes kept of the same instant: one state
        there = what_is_there(judge, instant, cut)
        scenario.must("cut-in-phase", in_phase(fault.phase, cut, there), str(there))
        if state in bench.judged:
            there["same_state_as"] = scenario.adopt(bench.judged[state], UPDATE_SURVIVED)
        scenario.fault = replace(scenario.fault, parameters=there)
        if state in bench.judged:
            return
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge.judge(boots_before=boots)
        final = "old" if fault.phase in MUST_END_OLD else ""
        scenario.conclude(judgement, expected=UPDATE_SURVIVED, final=final)
        after = Judge(board=bench.board, client=bench.client, old=old, new=good)
        scenario.second_update(after, judgement)
        bench.judged[state] = scenario.judged()


def _cases() -> list[ParameterSet]:
    """Every phase under every loss model; phases of one worker, so that instants are shared."""
    losses = ("none", "all", "some:1", "torn:1")
    ci_phases = {Phase.WRITE_50, Phase.BEFORE_SWITCH, Phase.SWITCH, Phase.BOOTLOADER}
    ci_phases |= {Phase.FIRST_BOOT, Phase.COMMIT, Phase.ROLLBACK}
    cases = []
    for phase in Phase:
        for loss in losses:
            fault = PowerFault(phase=phase, loss=Loss.parse(loss))
            marks = [pytest.mark.xdist_group(str(phase))]
            if phase in ci_phases and loss in ("none", "torn:1"):
                marks.append(pytest.mark.ci)
            cases.append(pytest.param(fault, id=str(fault), marks=marks))
    return cases


@pytest.mark.parametrize("fault", _cases())
def test_power_cut(bench: Bench, releases: Releases, scenario: Scenario, fault: PowerFault) -> None:
    new = releases.new
    if fault.phase is Phase.ROLLBACK:  # there must be something to roll back from
        new = releases.variant_of(releases.new, "failing-service")
    power_cut(bench, scenario, fault, releases.old, new, good=releases.new)
