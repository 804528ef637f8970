"""Scenario 8: the real-time clock is wrong, as after a battery's end, or the running one jumps in
the middle of a download: the device must update.

Certificates are valid from a day on, and to one; a device that asks its clock refuses every update.
No clock may stand before the software was made.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from harness.boards.capability import Capability
from harness.boards.lab_file import Part
from harness.errors import LabError
from harness.evidence.record import Fault
from harness.faults.clock import ClockJump
from harness.faults.network import NetworkFault
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario

pytestmark = pytest.mark.own_programs

NEEDS = (Part.CLOCK, Capability.SET_CLOCK)


def clock(bench: Bench, scenario: Scenario, at: datetime, old: Release, new: Release) -> None:
    """Each boot begins with the clock at that instant."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=f"clock:{at:%Y-%m-%d}")
        bench.running(old)
        bench.board.run("sync", timeout=60)
        bench.board.power_off()
        bench.board.can.set_clock(at)
        boots = bench.board.boots
        bench.board.power_on()
        judgement = judge.judge(boots_before=boots)
        scenario.must("comes-up-old", judgement.verdict is Verdict.OLD, str(judgement))
        shown = bench.board.run("date -u +%s", timeout=60).stdout.strip()
        scenario.fault = replace(scenario.fault, parameters={"date": shown})
        scenario.must("clock-has-a-floor", int(shown) >= old.source_date_epoch, f"date {shown}")
        judgement = bench.update(new, judge)
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")
        scenario.second_update(judge, judgement)


_SLOWLY = NetworkFault.parse("rate:1M")  # long enough to be set in


def clock_jump(
    bench: Bench, scenario: Scenario, fault: ClockJump, old: Release, new: Release
) -> None:
    """The clock is set while the device downloads, and stays so until it reboots."""
    judge, earlier = bench.judge(old, new), len(bench.proxy.requests)
    with scenario:
        scenario.fault = Fault(printed=f"clock:{fault}")
        bench.running(old)
        bench.proxy.arm(_SLOWLY)
        bench.client.start_install(bench.offer(new))
        bench.proxy.wait_strike(DOWNLOAD_AND_INSTALL_SECONDS)
        said = bench.board.run(fault.command, timeout=60)
        sent = sum(each.sent for each in bench.proxy.requests[earlier:])
        if sent >= new.artifact.stat().st_size or not fault.has_struck(said.stdout):
            raise LabError(
                f"{bench.board.name}: the clock was not set within the download",
                details=f"{sent} bytes, clock: {said.stdout}{said.stderr}",
            )
        result = bench.client.wait_install(DOWNLOAD_AND_INSTALL_SECONDS)
        bench.proxy.disarm()
        told = {"clock": said.stdout.split(), "at byte": sent, "client": result.output[-1000:]}
        scenario.fault = replace(scenario.fault, parameters=told)
        scenario.must("installed", result.ok, result.output[-500:])
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")
        scenario.second_update(judge, judgement)


@pytest.mark.parametrize(
    "at",
    [
        *(pytest.param(str(year), marks=pytest.mark.needs(*NEEDS)) for year in (1970, 2000, 2037)),
        "jump:+3650d",
        "jump:-20y",
    ],
)
def test_clock(bench: Bench, releases: Releases, scenario: Scenario, at: str) -> None:
    old, new = releases.after(scenario)
    if at.isdecimal():
        clock(bench, scenario, datetime(int(at), 1, 2, tzinfo=UTC), old, new)
    else:
        clock_jump(bench, scenario, ClockJump.parse(at), old, new)
