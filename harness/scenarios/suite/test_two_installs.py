"""Scenario 14: an update is asked for while another one is under way.

The second one may be refused, or wait: the first one must come to its end as if nobody had asked.
"""

import shlex

import pytest

from harness.errors import LabError
from harness.evidence.record import Fault
from harness.faults.network import NetworkFault
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario

# Past the client, which keeps a scenario from asking twice.
pytestmark = pytest.mark.own_programs

_SLOWLY = NetworkFault.parse("rate:1M")  # long enough to be asked in


def two_installs(bench: Bench, scenario: Scenario, old: Release, new: Release) -> None:
    """While `new` is downloaded, the version that runs is asked for, too."""
    judge, earlier = bench.judge(old, new), len(bench.proxy.requests)
    with scenario:
        scenario.fault = Fault(printed="two installs")
        bench.running(old)
        bench.proxy.arm(_SLOWLY)
        bench.client.start_install(bench.offer(new))
        bench.proxy.wait_strike(DOWNLOAD_AND_INSTALL_SECONDS)
        sent = sum(each.sent for each in bench.proxy.requests[earlier:])
        if sent >= new.artifact.stat().st_size:
            raise LabError(f"{bench.board.name}: not asked within the download")
        command = f"gateway-update install {shlex.quote(bench.offer(old))}"
        second = bench.board.run(command, timeout=DOWNLOAD_AND_INSTALL_SECONDS)
        first = bench.client.wait_install(DOWNLOAD_AND_INSTALL_SECONDS)
        bench.proxy.disarm()
        said = {"first": first.output[-500:], "second": (second.stdout + second.stderr)[-500:]}
        told = {"at byte": sent, "second's code": second.returncode, **said}
        scenario.fault = Fault(printed="two installs", parameters=told)
        scenario.must("first-installed", first.ok, first.output[-500:])
        waited = second.returncode == 0  # then it is what was installed last
        expected = Verdict.OLD if waited else Verdict.NEW
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={expected}, final=str(expected))
        scenario.second_update(judge, judgement)


def test_two_installs(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    two_installs(bench, scenario, *releases.after(scenario))
