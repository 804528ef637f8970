"""Scenarios of this product: pytest tests that `harness test` runs beside its own.

`bench` is a board with its update client and servers, `releases` what is in the field and what is
to be proven, `scenario` the record that becomes evidence. A test's name is the scenario's:
`test_site_settings` is `site-settings`. Marked `ci`, it runs with `--tier ci`, too.
"""

import pytest

from harness.judge.verdict import Verdict
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario


@pytest.mark.ci()
def test_site_settings(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    """What an engineer has written down on site is still there after an update."""
    judge = bench.judge(releases.old, releases.new)
    with scenario:
        bench.running(releases.old)
        bench.board.put(b"roof, north\n", "/data/config/site", timeout=60)
        scenario.conclude(bench.update(releases.new, judge), expected={Verdict.NEW})
        kept = bench.board.run("cat /data/config/site", timeout=60).stdout
        scenario.must("site settings kept", kept == "roof, north\n", f"read {kept!r}")
