"""Scenario 7: the medium fails while an update is under way, and is well again afterwards.

A device with a medium that refuses writes cannot be healthy, and need not be: it must come up in a
version that is good, and must be as good as before once the medium is. What it has lost is the
update, at most.
"""

import time
from dataclasses import replace

import pytest

from harness.boards.capability import Capability
from harness.clients.boot_selection import Slot
from harness.errors import DeviceError
from harness.evidence.record import Fault
from harness.faults.storage import MediumFault
from harness.judge.health import Budget
from harness.judge.judge import Judge
from harness.judge.verdict import Verdict
from harness.log import step
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario

pytestmark = pytest.mark.own_programs

# Of what the guest is told depends on the board: QEMU's SD card tells of no failure.
_TELLS = pytest.mark.bootloaders("grub")


def medium_fault(
    bench: Bench, scenario: Scenario, fault: MediumFault, old: Release, new: Release, *, kept: bool
) -> None:
    """New is installed, and, with `kept`, booted and committed; then the medium fails through some
    boots. The board must come up in a version that was good, and be well when its medium is."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(fault))
        bench.running(old)
        bench.bring(new, judge, kept=kept)
        bench.board.run("sync", timeout=60)
        bench.board.power_off()
        good = judge.medium.selection()
        bench.board.can.medium_fail.fail([fault.failing(old.layout)])
        boots = bench.board.boots
        bench.board.power_on()
        line = comes_up(bench, judge, boots)
        scenario.fault = replace(scenario.fault, parameters={"before": str(good), "came up": line})
        final = "new" if kept else "old"
        slots = {judge.medium.content(slot): slot for slot in Slot}
        scenario.must("comes-up-good", f"slot {slots.get(final)}:" in line, line or "not at all")
        bench.board.power_off()
        _well_again(bench, scenario)
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge.judge(boots_before=boots)
        # The attempts that could not be counted are there for the version on trial.
        expected = {Verdict.NEW} if kept else {Verdict.OLD, Verdict.NEW}
        scenario.conclude(judgement, expected=expected, final=final if kept else "")
        scenario.second_update(judge, judgement)


def _well_again(bench: Bench, scenario: Scenario) -> None:
    """End the failing, which must have struck: else nothing was tested."""
    struck = bench.board.can.medium_fail.fail([])
    scenario.injected(struck > 0, "the board never asked for what fails")


def comes_up(bench: Bench, judge: Judge, boots: int) -> str:
    """What the health check says in the first boot that does not end in a reboot of its own; empty
    when there is none in the budget."""
    board = bench.board
    with step("comes-up", board=board.name):
        while board.boots - boots <= judge.limits.boots:
            boot = board.boots
            try:
                line = judge.health.last(boot)
                if "rolled back" not in line:
                    return line
                board.wait_boots(boot + 1, timeout=judge.limits.boot_seconds)
            except DeviceError:
                if board.boots == boot:
                    return ""
    return ""


@pytest.mark.needs(Capability.MEDIUM_FAIL, Capability.MEDIUM_READ)
@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        pytest.param("eio-write@medium", False, id="trial/eio-write@medium", marks=_TELLS),
        pytest.param("forget-write@medium", False, id="trial/forget-write@medium"),
        pytest.param("eio-write@medium", True, id="eio-write@medium", marks=_TELLS),
        pytest.param("forget-write@medium", True, id="forget-write@medium"),
    ],
)
def test_medium_fault(
    bench: Bench, releases: Releases, scenario: Scenario, fault: str, kept: bool
) -> None:
    failing = MediumFault.parse(fault)
    # Of a trial that cannot be counted: flashed bootloader, and the version to come back to.
    pair = (releases.old, releases.new) if kept else releases.after(scenario)
    medium_fault(bench, scenario, failing, *pair, kept=kept)


def update_beside(
    bench: Bench, scenario: Scenario, fault: MediumFault, old: Release, new: Release
) -> None:
    """The medium fails in one place during a whole update, which must come to its end."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(fault))
        bench.running(old)
        bench.board.can.medium_fail.fail([fault.failing(old.layout)])
        bench.bring(new, judge, kept=False)
        boots = bench.board.boots
        bench.client.reboot(timeout=60)
        bench.board.wait_boots(boots + 1, timeout=judge.limits.boot_seconds)
        line = comes_up(bench, judge, boots)
        scenario.must("comes-up-well", line.endswith(": ok"), line or "not at all")
        bench.board.run("sync", timeout=60)
        bench.board.power_off()
        _well_again(bench, scenario)
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge.judge(boots_before=boots)
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")
        scenario.second_update(judge, judgement)


@pytest.mark.needs(Capability.MEDIUM_FAIL)
@pytest.mark.bootloaders("grub")  # of U-Boot: test_lost_copy
@pytest.mark.parametrize("copy", [1, 2])
@pytest.mark.parametrize("what", ["eio-write", "forget-write"])
def test_one_copy(
    bench: Bench, releases: Releases, scenario: Scenario, what: str, copy: int
) -> None:
    fault = MediumFault.parse(f"{what}@boot-selection-{copy}")
    update_beside(bench, scenario, fault, *releases.after(scenario))


def update_refused_beside(
    bench: Bench, scenario: Scenario, fault: MediumFault, old: Release, new: Release
) -> None:
    """The medium fails in one place during a whole update, which cannot stay then: the board must
    come up in old, must have said so, and must take the update once its medium is well."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(fault))
        bench.running(old)
        bench.board.can.medium_fail.fail([fault.failing(old.layout)])
        result = bench.install(new)
        boots = bench.board.boots
        bench.client.reboot(timeout=60)
        bench.board.wait_boots(boots + 1, timeout=judge.limits.boot_seconds)
        line = comes_up(bench, judge, boots)
        told = {"installed": result.ok, "came up": line}
        scenario.fault = replace(scenario.fault, parameters=told)
        slots = {judge.medium.content(slot): slot for slot in Slot}
        scenario.must("comes-up-old", f"slot {slots.get('old')}:" in line, line or "not at all")
        said = not result.ok or "boot selection cannot be written" in line
        scenario.must("says-so", said, f"installed; {line}")
        bench.board.run("sync", timeout=60)
        bench.board.power_off()
        _well_again(bench, scenario)
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge.judge(boots_before=boots)
        scenario.conclude(judgement, expected={Verdict.OLD, Verdict.NEW})
        scenario.second_update(judge, judgement)


@pytest.mark.needs(Capability.MEDIUM_FAIL, Capability.MEDIUM_READ)
@pytest.mark.bootloaders("u-boot")  # it and libubootenv write the copy that does not count
@pytest.mark.parametrize("copy", [1, 2])
def test_lost_copy(bench: Bench, releases: Releases, scenario: Scenario, copy: int) -> None:
    fault = MediumFault.parse(f"forget-write@boot-selection-{copy}")
    update_refused_beside(bench, scenario, fault, *releases.after(scenario))


def long_check(bench: Bench, scenario: Scenario, old: Release, new: Release) -> None:
    """The data partition needs a full check, and its medium is so slow that this takes longer than
    any boot may that is on trial. New is committed: nothing may cut the check."""
    judge = replace(bench.judge(old, new), budget=Budget(boots=1, boot_seconds=2400))
    fault = MediumFault.parse("slow:1.25s@data")
    with scenario:
        scenario.fault = Fault(printed=f"destroyed:superblock, {fault}")
        bench.running(old)
        bench.bring(new, judge, kept=True)
        bench.board.run("sync", timeout=60)
        bench.board.power_off()
        bench.board.can.medium_write.overwrite(old.layout["data"].offset, bytes(4096))
        bench.board.can.medium_fail.fail([fault.failing(old.layout)])
        boots = bench.board.boots
        began = time.monotonic()
        bench.board.power_on()
        line = comes_up(bench, judge, boots)
        seconds = time.monotonic() - began
        _well_again(bench, scenario)
        scenario.must("took-longer", seconds > 360, f"{seconds:.0f} s")
        scenario.must("comes-up-well", line.endswith(": ok"), line or "not at all")
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")


@pytest.mark.needs(Capability.MEDIUM_FAIL, Capability.MEDIUM_WRITE)
def test_long_check(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    long_check(bench, scenario, releases.old, releases.new)
