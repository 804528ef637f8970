"""Scenario 8: the real-time clock is wrong, as after a battery's end, or the running one jumps in
the middle of a download: the device must update.

Certificates are valid from a day on, and to one; a device that asks its clock refuses every update.
No clock may stand before the software was made.
"""

from dataclasses import replace

import pytest

from harness.boards.capability import Capability
from harness.boards.lab_file import Part
from harness.deadline import reached_within
from harness.errors import DeviceError, LabError
from harness.evidence.record import Fault
from harness.faults.clock import ClockJump, ClockSet
from harness.faults.network import NetworkFault
from harness.judge.judge import Judge
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario

pytestmark = pytest.mark.own_programs

NEEDS = (Part.CLOCK, Capability.SET_CLOCK)
YEARS = (1970, 2000, 2037, 2038)  # in February: a clock of 32 bits ends in January 2038


def begin_at(
    bench: Bench, scenario: Scenario, judge: Judge, fault: ClockSet, old: Release
) -> dict[str, object]:
    """Boot `old` with the clock at that instant, and so each boot from now on."""
    board = bench.board
    board.run("sync", timeout=60)
    board.power_off()
    board.can.set_clock(fault.at)
    boots = board.boots
    board.power_on()
    judgement = judge.judge(boots_before=boots)
    scenario.must("comes-up-old", judgement.verdict is Verdict.OLD, str(judgement))
    shown = board.run("date -u +%s", timeout=60).stdout.strip()
    floor = shown.isdecimal() and int(shown) >= old.source_date_epoch
    scenario.must("clock-has-a-floor", floor, f"date {shown}")
    return {"date": shown}


def clock(bench: Bench, scenario: Scenario, fault: ClockSet, old: Release, new: Release) -> None:
    """Each boot begins with the clock at that instant."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=str(fault))
        bench.running(old)
        told = begin_at(bench, scenario, judge, fault, old)
        scenario.fault = replace(scenario.fault, parameters=told)
        judgement = bench.update(new, judge)
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")
        scenario.second_update(judge, judgement)


SLOWLY = NetworkFault.parse("rate:1M")  # long enough to be set in


def jump(bench: Bench, fault: ClockJump, size: int, earlier: int) -> dict[str, object]:
    """Set the clock of a device that downloads a file of `size`, as the proxy's requests from
    `earlier` on show. LabError when it was not set meanwhile."""
    board = bench.board

    def sent() -> int:
        return sum(each.sent for each in bench.proxy.downloads(earlier))

    if not reached_within(DOWNLOAD_AND_INSTALL_SECONDS, lambda: sent() > 0, poll=0.1):
        raise DeviceError(f"{board.name}: downloads nothing")
    said = board.run(fault.command, timeout=60)
    if sent() >= size or not fault.has_struck(said.stdout):
        raise LabError(
            f"{board.name}: the clock was not set within the download",
            details=f"{sent()} bytes, clock: {said.stdout}{said.stderr}",
        )
    return {"clock": said.stdout.split(), "at byte": sent()}


def clock_jump(
    bench: Bench, scenario: Scenario, fault: ClockJump, old: Release, new: Release
) -> None:
    """The clock is set while the device downloads, and stays so until it reboots."""
    judge, earlier = bench.judge(old, new), len(bench.proxy.requests)
    with scenario:
        scenario.fault = Fault(printed=f"clock:{fault}")
        bench.running(old)
        bench.proxy.arm(SLOWLY)
        bench.client.start_install(bench.offer(new))
        told = jump(bench, fault, new.artifact.stat().st_size, earlier)
        result = bench.client.wait_install(DOWNLOAD_AND_INSTALL_SECONDS)
        bench.proxy.disarm()
        told["client"] = result.output[-1000:]
        scenario.fault = replace(scenario.fault, parameters=told)
        scenario.must("installed", result.ok, result.output[-500:])
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")
        scenario.second_update(judge, judgement)


@pytest.mark.parametrize(
    "at",
    [
        *(pytest.param(str(year), marks=pytest.mark.needs(*NEEDS)) for year in YEARS),
        "jump:+3650d",
        "jump:-20y",
    ],
)
def test_clock(bench: Bench, releases: Releases, scenario: Scenario, at: str) -> None:
    old, new = releases.after(scenario)
    if at.isdecimal():
        clock(bench, scenario, ClockSet.parse(f"clock:{at}-02-02"), old, new)
    else:
        clock_jump(bench, scenario, ClockJump.parse(at), old, new)
