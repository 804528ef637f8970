"""Scenario 4: the network fails while the update is downloaded, at an exact byte of it.

A fault that only disturbs must end in the new version, resumed where the transfer broke off; one
that falsifies must be refused. A fault that was never reached fails the scenario.
"""

import re
from dataclasses import asdict

import pytest

from harness.clients.client import InstallResult
from harness.crash.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.evidence.record import Fault
from harness.faults.network import NetworkFault, NetworkFaultKind
from harness.images.release import Release
from harness.verdict import Verdict
from tests.hil.bench import Bench
from tests.hil.conftest import Releases
from tests.hil.scenario import Scenario

# After these the transfer cannot go on where it was: it must be asked for again. (A link that is
# back in time may go on with the same connection.)
BREAKING = {NetworkFaultKind.RESET, NetworkFaultKind.CLOSE, NetworkFaultKind.STALL}


def at_percent(template: str, release: Release) -> NetworkFault:
    """`reset@50%` with the percentage turned into a byte of the release's update artifact."""
    size = release.artifact.stat().st_size
    return NetworkFault.parse(
        re.sub(r"(\d+)%", lambda found: str(size * int(found[1]) // 100), template)
    )


def download_under(
    bench: Bench, scenario: Scenario, fault: NetworkFault, release: Release
) -> InstallResult:
    """Install `release` while `fault` is armed; notes what was struck and asked for again."""
    first, first_strike = len(bench.proxy.requests), len(bench.proxy.strikes)
    bench.proxy.arm(fault)
    try:
        result = bench.client.install(bench.offer(release), timeout=DOWNLOAD_AND_INSTALL_SECONDS)
    finally:
        bench.proxy.disarm()
        bench.proxy.wait_link_up(60)
    requests = [
        r for r in bench.proxy.requests[first:] if r.method == "GET" and r.path != "/health"
    ]
    strikes = bench.proxy.strikes[first_strike:]
    seen = {
        "strikes": [asdict(strike) for strike in strikes],
        "requests": [asdict(r) for r in requests],
    }
    scenario.fault = Fault(printed=str(fault), parameters=seen)
    scenario.must("fault-struck", bench.proxy.struck, "the download never got to the fault")
    if result.ok and fault.at and (fault.kind in BREAKING or len(requests) > 1):
        asked = [r.range for r in requests[1:]]
        starts = [int(found[1]) for found in map(re.compile(r"bytes=(\d+)-").match, asked) if found]
        resumed = bool(starts) and 0 < starts[0] <= fault.at
        scenario.must("resumed", resumed, f"struck at {fault.at}, asked again for {asked}")
    return result


def network(bench: Bench, scenario: Scenario, template: str, old: Release, new: Release) -> None:
    """One fault during the download of `new`, then: verdict, invariants, a second update."""
    judge = bench.judge(old, new)
    fault = at_percent(template, new)
    with scenario:
        bench.running(old)
        before = judge.medium_selection()
        result = download_under(bench, scenario, fault, new)
        falsified = fault.kind == "flip"
        scenario.must(
            "refused" if falsified else "installed",
            result.ok is not falsified,
            result.output[-500:],
        )
        if not result.ok:
            after = judge.medium_selection()
            same = before is not None and after is not None and before.primary == after.primary
            scenario.must("primary-untouched", same, f"{before} -> {after}")
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.OLD if falsified else Verdict.NEW})
        scenario.second_update(judge, judgement)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("link-down@30%:10s", marks=pytest.mark.ci),
        pytest.param("reset@50%", marks=pytest.mark.ci),
        pytest.param("stall@70%"),
        pytest.param("close@20%"),
        pytest.param("reset@0%"),
        pytest.param("status:503x2"),
        pytest.param("flip@50%", marks=pytest.mark.ci),
        pytest.param("flip@99%"),
        pytest.param("rate:2M"),
    ],
)
def test_network(bench: Bench, releases: Releases, scenario: Scenario, fault: str) -> None:
    network(bench, scenario, fault, releases.old, releases.new)
