"""Scenario 8: the real-time clock is wrong, as after a battery's end: the device must update.

Certificates are valid from a day on, and to one; a device that asks its clock refuses every update.
No clock may stand before the software was made.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from harness.evidence.record import Fault
from harness.images.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.verdict import Verdict


def clock(bench: Bench, scenario: Scenario, at: datetime, old: Release, new: Release) -> None:
    """Each boot begins with the clock at that instant."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=f"clock:{at:%Y-%m-%d}")
        bench.running(old)
        bench.board.run("sync", timeout=60)
        bench.board.power_off()
        bench.board.set_clock(at)
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


@pytest.mark.needs("clock")
@pytest.mark.parametrize("year", [1970, 2000, 2037])
def test_clock(bench: Bench, releases: Releases, scenario: Scenario, year: int) -> None:
    at = datetime(year, 1, 2, tzinfo=UTC)
    clock(bench, scenario, at, releases.old, releases.new)
