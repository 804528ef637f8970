"""Scenario 10: the network is not there, or not yet, when a good version is on trial.

A version that cannot reach its update server could never be updated again, so it must be left for
the one before, which must take the same update once the network is back. One that can reach it a
little later must stay.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.boards.capability import Capability
from harness.clients.client import DeviceStatus
from harness.deadline import Deadline
from harness.errors import DeviceError, LabError
from harness.evidence.record import Fault
from harness.faults.trial import TrialFault
from harness.judge.health import ROLLED_BACK
from harness.judge.provision import BOOT_SECONDS
from harness.judge.verdict import Verdict
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario

pytestmark = pytest.mark.own_programs

_WRONG_ANSWERS = 5  # it is asked once a second
_LITTLE = 64 << 10  # bytes of answers about health, and that an artifact is whole


def _link(bench: Bench) -> Callable[[], None]:
    bench.board.can.link(up=False)
    return lambda: bench.board.can.link(up=True)


def _portal(bench: Bench) -> Callable[[], None]:
    bench.server.be_ill()
    return lambda: bench.server.be_ill(0)


# What is wrong in the trial: begins it, and returns what ends it.
WRONG = {TrialFault.LINK_DOWN: _link, TrialFault.PORTAL: _portal}


def trial_left(
    bench: Bench, scenario: Scenario, wrong: TrialFault, old: Release, new: Release
) -> None:
    """All through the trial of `new`; afterwards all is well, and `new` is installed once more, of
    what was downloaded the first time."""
    judge = bench.judge(old, new)
    with scenario:
        scenario.fault = Fault(printed=wrong)
        bench.running(old)
        bench.must(bench.install(new).ok, f"refused {new.version}")
        boots = bench.board.boots
        bench.client.reboot(timeout=60)
        end = WRONG[wrong](bench)
        try:
            told = bench.board.expect(ROLLED_BACK, timeout=judge.limits.boot_seconds)
        finally:
            end()
        scenario.fault = Fault(printed=wrong, parameters={"said": told})
        judgement = judge.judge(boots_before=boots)
        scenario.conclude(judgement, expected={Verdict.RECOVERED}, final="old")
        first = len(bench.proxy.requests)
        scenario.second_update(judge, judgement)
        sent = sum(request.sent for request in bench.proxy.requests[first:])
        scenario.must("not-downloaded-again", sent < _LITTLE, f"{sent} bytes")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(TrialFault.LINK_DOWN, marks=pytest.mark.needs(Capability.LINK)),
        TrialFault.PORTAL,
    ],
)
def test_trial(bench: Bench, releases: Releases, scenario: Scenario, wrong: TrialFault) -> None:
    trial_left(bench, scenario, wrong, releases.old, releases.new)


def update_on_trial(
    bench: Bench, releases: Releases, scenario: Scenario, old: Release, new: Release
) -> None:
    """While `new` is on trial and cannot become well, it is asked to install a version that cannot
    boot: nothing may touch what there is to go back to. Where it is on trial no more, it has done
    that itself, and is judged as it is."""
    judge, other = bench.judge(old, new), releases.variant_of(new, "kernel-panic", follows=True)
    with scenario:
        scenario.fault = Fault(printed="kernel-panic on trial")
        bench.running(old)
        bench.must(bench.install(new).ok, f"refused {new.version}")
        boots = bench.board.boots
        bench.client.reboot(timeout=60)
        bench.server.be_ill()
        told = ""
        try:
            bench.board.wait_boots(boots + 1, timeout=judge.limits.boot_seconds)
            if _still_on_trial(scenario, _once_it_answers(bench), old, new):
                bench.client.start_install(bench.offer(other))
                told = bench.board.expect(ROLLED_BACK, timeout=judge.limits.boot_seconds)
        finally:
            bench.server.be_ill(0)
        parameters = {"said": told, "slot": other.slot.sha256}
        scenario.fault = replace(scenario.fault, parameters=parameters)
        judgement = judge.judge(boots_before=boots)
        scenario.conclude(judgement, expected={Verdict.RECOVERED}, final="old")
        scenario.second_update(judge, judgement)


def _still_on_trial(scenario: Scenario, now: DeviceStatus, old: Release, new: Release) -> bool:
    """Whether `new` is, as soon as it can be asked; LabError where nobody knows what runs."""
    if now.version not in (old.version, new.version):
        raise LabError(f"{scenario.bench.board.name}: not asked within the trial", details=str(now))
    if (now.version, now.health) == (new.version, "pending"):
        return True
    left = now.version == old.version or "rolled back" in now.health
    told = f"{now.version} runs, health: {now.health}"
    scenario.must("not-left-early" if left else "not-committed", False, told)
    return False


def _once_it_answers(bench: Bench) -> DeviceStatus:
    deadline = Deadline(BOOT_SECONDS)
    while True:
        try:
            return bench.client.status(timeout=20)
        except DeviceError:
            if deadline.over:
                raise


@pytest.mark.variants("kernel-panic")
def test_update_on_trial(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    update_on_trial(bench, releases, scenario, releases.old, releases.new)


def test_late_server(bench: Bench, releases: Releases, scenario: Scenario) -> None:
    """The server is itself again while the trial still waits for it."""
    judge = bench.judge(releases.old, releases.new)
    with scenario:
        scenario.fault = Fault(printed=f"portal, {_WRONG_ANSWERS} times")
        bench.running(releases.old)
        bench.must(bench.install(releases.new).ok, f"refused {releases.new.version}")
        bench.server.be_ill(_WRONG_ANSWERS)
        judgement = bench.reboot(judge)
        scenario.must("fault-struck", bench.server.is_well, "it was not asked so often")
        scenario.conclude(judgement, expected={Verdict.NEW}, final="new")
        scenario.second_update(judge, judgement)
