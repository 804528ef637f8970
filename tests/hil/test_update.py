"""Scenario 1: a good update, from a cold boot, and back again."""

import pytest

from harness.crash.verdict import Judge
from harness.verdict import Verdict
from tests.hil.bench import Bench
from tests.hil.conftest import Releases
from tests.hil.scenario import Scenario


@pytest.mark.ci
def test_update(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    judge = Judge(board=bench.board, client=bench.client, old=releases.old, new=releases.new)
    with scenario:
        bench.boot_fresh(releases.old)
        judgement = bench.update(releases.new, judge)
        scenario.conclude(judgement, expected={Verdict.NEW})
        scenario.second_update(judge, judgement)
