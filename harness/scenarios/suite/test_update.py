"""Scenario 1: a good update, from a cold boot, and back again."""

import pytest

from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import ROOM_OF_A_BOOT, Scenario


def update(bench: Bench, scenario: Scenario, old: Release, new: Release) -> None:
    """Cold boot of `old`, update to `new`, then: verdict, invariants, watched for a while, its
    room looked at, booted once more, and back again."""
    judge = bench.judge(old, new)
    with scenario:
        bench.boot_fresh(old)
        room = bench.room()
        judgement = bench.update(new, judge)
        scenario.conclude(judgement, expected={Verdict.NEW})
        scenario.dwell(judge, judgement)
        # What was installed may be kept, once; each further boot has nothing to keep.
        room = scenario.keeps_room(room, beside=new.artifact.stat().st_size)
        scenario.boot_again(judge, judgement)
        scenario.keeps_room(room, name=ROOM_OF_A_BOOT)
        scenario.second_update(judge, judgement)


@pytest.mark.ci(slow=True)
def test_update(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    update(bench, scenario, releases.old, releases.new)
