"""Scenario 4: the network fails while the update is downloaded, at an exact byte of it.

A fault that only disturbs must end in the new version, resumed where the transfer broke off; one
that falsifies must be refused. A fault that was never reached fails the scenario.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

import pytest

from harness.boards.capability import Capability
from harness.clients.client import InstallResult
from harness.evidence.record import Fault
from harness.faults.manners import PORTALS, Manner, ServerFault
from harness.faults.network import BREAKING, NetworkFault
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Verdict
from harness.medium.model import Loss
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.updates.transfer import Request

# Seconds after which a journal has been committed once (ext4: 5) while data are still on their way.
_WRITTEN_BACK = 7.0


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
        bench.proxy.wait_link_up(60 + fault.value / 1000)
    requests = bench.proxy.downloads(first)
    strikes = bench.proxy.strikes[first_strike:]
    seen = {
        "strikes": [asdict(strike) for strike in strikes],
        "requests": [asdict(r) for r in requests],
    }
    scenario.fault = Fault(printed=str(fault), parameters=seen)
    require_struck(bench, scenario, requests, release)
    resumes = release.product.promises.downloads == "resumed"
    if resumes and result.ok and fault.at and (fault.kind in BREAKING or len(requests) > 1):
        asked = [r.range for r in requests[1:]]
        starts = [int(found[1]) for found in map(re.compile(r"bytes=(\d+)-").match, asked) if found]
        resumed = bool(starts) and 0 < starts[0] <= fault.at
        scenario.must("resumed", resumed, f"struck at {fault.at}, asked again for {asked}")
    return result


def require_struck(
    bench: Bench, scenario: Scenario, requests: Sequence[Request], release: Release
) -> None:
    """Each network fault must have struck in these requests for a release, or it is told whose
    doing it is. Nothing asked for, or given up before anything went wrong: the device's. Come whole
    past it, or given up because of an earlier one: it was not injected."""
    if bench.proxy.struck:
        return
    size = release.artifact.stat().st_size
    whole = any(each.first + each.sent >= size for each in requests)
    met = bool(bench.proxy.met)
    asked = "asked for nothing" if not requests else "gave the download up by itself"
    scenario.must("fault-struck", bool(requests) and (whole or met), f"the device {asked}")
    how = "came whole" if whole else f"was given up after {', '.join(bench.proxy.met)}"
    scenario.injected(not requests, f"the download {how}, and not to each fault")


def network(bench: Bench, scenario: Scenario, template: str, old: Release, new: Release) -> None:
    """One fault during the download of `new`, then: verdict, invariants, a second update."""
    judge = bench.judge(old, new)
    fault = NetworkFault.parse(template, size=new.artifact.stat().st_size)
    with scenario:
        bench.running(old)
        before = judge.selection_now()
        result = download_under(bench, scenario, fault, new)
        falsified = fault.kind == "flip"
        may_give_up = new.product.promises.downloads == "given-up" and not falsified
        scenario.must(
            "refused" if falsified else "installed",
            may_give_up or result.ok is not falsified,
            result.output[-500:],
        )
        if not result.ok:
            after = judge.selection_now()
            same = before is not None and after is not None and before.primary == after.primary
            scenario.must("primary-untouched", same, f"{before} -> {after}")
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.NEW if result.ok else Verdict.OLD})
        scenario.second_update(judge, judgement)


def interrupted_updates(bench: Bench, scenario: Scenario, old: Release, new: Release) -> None:
    """Five downloads of different files end at 80 %, one after the other, each given up; what they
    leave must be in nobody's way."""
    judge = bench.judge(old, new)
    fault = NetworkFault.parse("close@80%x99", size=new.artifact.stat().st_size)
    with scenario:
        scenario.fault = Fault(printed=f"{fault} of five")
        bench.running(old)
        for number in range(5):
            name = f"{number}-{new.artifact.name}"
            bench.server.add(name, new.artifact)
            bench.proxy.arm(fault)
            url = bench.proxy.url(name, host=bench.board.addresses.host)
            result = bench.client.install(url, timeout=DOWNLOAD_AND_INSTALL_SECONDS)
            bench.must(not result.ok and bench.proxy.struck, result.output[-1000:])
        bench.proxy.disarm()
        scenario.conclude(bench.update(new, judge), expected={Verdict.NEW}, final="new")


@pytest.mark.own_programs
def test_interrupted_updates(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    interrupted_updates(bench, scenario, *releases.after(scenario))


def cut_in_download(
    bench: Bench, scenario: Scenario, loss: Loss, old: Release, new: Release
) -> None:
    """The power goes when half of the update has come. The device must come up as it was, and take
    the same update: at once, or, when what it had kept has holes, once that was refused."""
    judge, board = bench.judge(old, new), bench.board
    fault = NetworkFault.parse("stall@50%", size=new.artifact.stat().st_size)
    with scenario:
        scenario.fault = Fault(printed=f"{fault}, cut/{loss}", seed=loss.seed)
        bench.running(old)
        bench.proxy.arm(fault)
        bench.client.start_install(bench.offer(new))
        bench.proxy.wait_strike(DOWNLOAD_AND_INSTALL_SECONDS)
        time.sleep(_WRITTEN_BACK)
        cut = board.can.choose_loss.cut(loss)
        bench.proxy.disarm()
        scenario.fault = replace(scenario.fault, parameters=asdict(cut))
        boots = board.boots
        board.power_on()
        judgement = judge.judge(boots_before=boots)
        scenario.must("comes-up-old", judgement.verdict is Verdict.OLD, str(judgement))
        result = bench.install(new)
        if not result.ok:
            result = bench.install(new)
        scenario.must("installed", result.ok, result.output[-500:])
        scenario.conclude(bench.reboot(judge), expected={Verdict.NEW}, final="new")


@pytest.mark.needs(Capability.CHOOSE_LOSS)
@pytest.mark.parametrize("loss", ["none", "some:1"])
def test_cut_in_download(bench: Bench, releases: Releases, scenario: Scenario, loss: str) -> None:
    cut_in_download(bench, scenario, Loss.parse(loss), *releases.after(scenario))


def another_server(
    bench: Bench, scenario: Scenario, fault: ServerFault, old: Release, new: Release
) -> None:
    """The server answers in another manner, and the connection is reset at 50 %, so that the rest
    must be asked for. What changes meanwhile may be given up, for the next call. A portal comes
    then, and may stay for longer than one call asks: it must not cost what there is."""
    judge = bench.judge(old, new)
    portal = fault.manner in PORTALS
    with scenario:
        bench.running(old)
        first = len(bench.proxy.requests)
        bench.server.behave(fault, since=lambda: bench.proxy.struck or not portal)
        seconds = DOWNLOAD_AND_INSTALL_SECONDS
        bench.proxy.arm(NetworkFault.parse("reset@50%", size=new.artifact.stat().st_size))
        try:
            result = bench.client.install(bench.offer(new), timeout=seconds)
            if portal and not result.ok:  # a call that meets nobody else
                result = bench.client.install(bench.offer(new), timeout=seconds)
            answers = bench.server.strange_answers
        finally:
            bench.server.behave(None)
            bench.proxy.disarm()
        told = {"client": result.output[-1000:], "answers": answers}
        scenario.fault = Fault(printed=str(fault), parameters=told)
        require_struck(bench, scenario, bench.proxy.downloads(first), new)
        scenario.injected(answers > 0, f"no answer of the server was {fault.manner}")
        if fault.manner is Manner.NO_IF_RANGE:
            behind = any(each.status == 416 for each in bench.proxy.downloads(first))
            scenario.injected(behind, "nobody asked for what comes after the end of the other file")
        if portal:
            result = result if result.ok else bench.install(new)
            _must_have_kept(scenario, bench.proxy.downloads(first), new)
        given_up = fault.manner is Manner.CHANGED and not result.ok
        scenario.must("installed", result.ok or given_up, result.output[-500:])
        judgement = bench.reboot(judge)
        scenario.conclude(judgement, expected={Verdict.OLD if given_up else Verdict.NEW})
        scenario.second_update(judge, judgement)


def _must_have_kept(scenario: Scenario, requests: Sequence[Request], release: Release) -> None:
    """Half of it had come: no more than the other half is asked for."""
    size, sent = release.artifact.stat().st_size, sum(each.sent for each in requests)
    asked = [f"{each.status} {each.range}: {each.sent}" for each in requests]
    scenario.must("progress-kept", sent < 1.25 * size, f"{sent} bytes for {size}: {asked}")


@pytest.mark.own_programs
@pytest.mark.parametrize("manner", [*Manner, "portalx99"])
def test_server(bench: Bench, releases: Releases, scenario: Scenario, manner: str) -> None:
    fault = ServerFault.parse(f"server:{manner}")
    another_server(bench, scenario, fault, *releases.after(scenario))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("link-down@30%:10s", marks=pytest.mark.needs(Capability.LINK)),
        pytest.param("reset@50%"),
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
    network(bench, scenario, fault, *releases.after(scenario))
