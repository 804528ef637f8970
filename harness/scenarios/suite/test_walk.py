"""Scenario 9: updates, bad versions, power cuts, network faults one after the other, in any order.

Whatever the order, each boot must end in a version that the device was told to run or had before,
healthy, with its data and identity; and in the end it must still take an update.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from harness.clients.client import InstallResult
from harness.deadline import Deadline
from harness.errors import DeviceError, LabError
from harness.evidence.record import Fault, Outcome
from harness.faults.network import NetworkFault
from harness.faults.power import CutPhase
from harness.judge.judge import Judge
from harness.judge.provision import DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Judgement, Verdict
from harness.log import step
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.plugin import Releases
from harness.scenarios.scenario import Scenario
from harness.scenarios.suite.moment import Missed, reach
from harness.scenarios.walk import (
    BAD,
    CUTS,
    NOTHING,
    Device,
    WalkEvent,
    WalkEventKind,
    parse,
    shorter,
)

pytestmark = pytest.mark.own_programs

_NETWORK = {
    WalkEventKind.RESET: "reset@40%x2",
    WalkEventKind.REFUSED: "status:503x99",
    WalkEventKind.FLIP: "flip@60%",
}
_PHASES = {
    WalkEventKind.CUT_WRITING: CutPhase.WRITE_50,
    WalkEventKind.CUT_SWITCHING: CutPhase.SWITCH,
    WalkEventKind.CUT_COUNTING: CutPhase.BOOTLOADER,
}
_SHRINK_SECONDS = 1800.0  # to look for a shorter walk that fails


@dataclass(kw_only=True)
class Walk:
    """A device on its way, with what the model knows of it."""

    bench: Bench
    judge: Judge
    versions: dict[str, Release]  # old, new
    bad: dict[WalkEventKind, Release]
    slot: str  # that it runs from
    device: Device = field(default_factory=Device)
    last: Judgement | None = None

    def go(self, event: WalkEvent) -> None:
        """One event; DeviceError when the device ends where it must not."""
        with step("walk", what=str(event), runs=self.device.runs):
            if event.kind in (WalkEventKind.REBOOT, WalkEventKind.PORTAL):
                self._boot(event, lambda: self.bench.client.reboot(timeout=60))
            elif event.kind in CUTS:
                self._cut(event)
            else:
                self._install(event.kind)

    def _release(self, kind: WalkEventKind) -> Release:
        version = self.device.target(kind)
        return self.bad[kind] if version == BAD else self.versions[version]

    def _install(self, kind: WalkEventKind) -> None:
        release = self._release(kind)
        result = self._under(_NETWORK.get(kind, ""), release)
        if result.ok is self.device.must_refuse(kind):
            raise DeviceError(
                f"{kind}: {'not ' if result.ok else ''}refused", details=result.output
            )
        self.device = self.device.installed(kind, ok=result.ok)

    def _under(self, fault: str, release: Release) -> InstallResult:
        proxy = self.bench.proxy
        url = self.bench.offer(release)
        if fault:
            # Of another name each time: what the device has already, it does not download.
            name = f"{len(proxy.requests)}-{release.artifact.name}"
            self.bench.server.add(name, release.artifact)
            url = proxy.url(name, host=self.bench.board.addresses.host)
            proxy.arm(NetworkFault.parse(fault, size=release.artifact.stat().st_size))
        try:
            return self.bench.client.install(url, timeout=DOWNLOAD_AND_INSTALL_SECONDS)
        finally:
            proxy.disarm()

    def _cut(self, event: WalkEvent) -> None:
        board = self.bench.board
        if event.kind is WalkEventKind.CUT_COUNTING and NOTHING in self.device.waits:
            event = replace(event, kind=WalkEventKind.CUT)  # it may be that nothing is counted
        if event.kind is WalkEventKind.CUT:
            board.can.choose_loss.freeze()
        else:
            self._reach(event.kind)
        assert event.loss
        board.can.choose_loss.cut(event.loss)
        self._boot(event, board.power_on)

    def _reach(self, kind: WalkEventKind) -> None:
        """A client that writes only what differs may have nothing to write, when that version is in
        the slot already: then the power goes when the device has said that it is installed."""
        try:
            reach(self.bench, self.judge, _PHASES[kind], self._release(kind))
        except Missed as missed:
            if not missed.result.ok:
                raise
            self.bench.board.can.choose_loss.freeze()
            self.device = self.device.installed(kind, ok=True)
        else:
            if kind is not WalkEventKind.CUT_COUNTING:  # that one installs nothing
                self.device = self.device.cut(kind)

    def _boot(self, event: WalkEvent, begin: Callable[[], object]) -> None:
        portal = event.kind is WalkEventKind.PORTAL
        judge = replace(self.judge, asks_server=not portal)
        if portal:
            self.bench.server.be_ill()
        try:
            boots = self.bench.board.boots
            begin()
            found = judge.judge(boots_before=boots)
        finally:
            self.bench.server.be_ill(0)
        may = self.device.may_run(portal=portal)
        if found.verdict.failed or found.final not in may:
            broken = [f"{each.name}: {each.detail}" for each in found.invariants if not each.holds]
            told = f"after {event}: {found.verdict}, runs {found.final or 'nothing known'}"
            raise DeviceError(
                f"{told}, may run {' or '.join(sorted(may))}", details="; ".join(broken)
            )
        if self.device.must_try(portal=portal):
            self._require_tried(event, found)
        self.last, self.slot = found, found.slot
        self.device = self.device.booted(found.final)

    def _require_tried(self, event: WalkEvent, found: Judgement) -> None:
        """What waits is in the other slot, and there must be no second boot: a device that fell
        back may run what it was told to, and not what it has installed."""
        waits = NOTHING not in self.device.waits
        if found.boots == 1 and not (waits and found.slot == self.slot):
            return
        told = f"after {event}: {found.final} runs from slot {found.slot} in {found.boots} boots"
        wanted = f"not slot {self.slot}, but what is installed" if waits else "what ran"
        raise DeviceError(told, details=f"must run: {wanted}, at the first boot")


def walk(bench: Bench, releases: Releases, scenario: Scenario, events: Sequence[WalkEvent]) -> None:
    """All events, one more reboot, and a last update. Of a product that refuses to go back, the bad
    versions are newer than both, so that they are taken from either."""
    old, new = releases.after(scenario)
    judge = bench.judge(old, new)
    only_newer = old.product.promises.downgrades == "refused"
    base = new if only_newer else releases.new
    bad = {
        WalkEventKind.PANICS: releases.variant_of(base, "kernel-panic", follows=only_newer),
        WalkEventKind.FAILS: releases.variant_of(base, "failing-service", follows=only_newer),
    }
    with scenario:
        scenario.fault = Fault(printed=",".join(map(str, events)))
        bench.running(old)
        under_way = Walk(
            bench=bench,
            judge=judge,
            versions={"old": old, "new": new},
            bad=bad,
            slot=str(bench.client.status(timeout=60).slot),
            device=Device(only_newer=only_newer),
        )
        room = bench.room()
        for event in (*events, WalkEvent(kind=WalkEventKind.REBOOT)):
            under_way.go(event)
        assert under_way.last
        ended = under_way.last
        verdict = Verdict(ended.final) if not ended.verdict.failed else ended.verdict
        scenario.conclude(replace(ended, verdict=verdict), expected={Verdict.OLD, Verdict.NEW})
        most = max(each.artifact.stat().st_size for each in (old, new))
        scenario.keeps_room(room, beside=most)
        scenario.second_update(judge, ended)


def shortest_failing(
    events: Sequence[WalkEvent],
    fails: Callable[[Sequence[WalkEvent]], bool],
    *,
    seconds: float = _SHRINK_SECONDS,
) -> Sequence[WalkEvent]:
    """The shortest walk that still fails, looked for event by event. A bench in trouble has shown
    nothing: what it leaves is the shortest one that was seen to fail."""
    shortest, deadline = events, Deadline(seconds)
    with contextlib.suppress(LabError):
        while not deadline.over:
            tried = (each for each in shorter(shortest) if each and not deadline.over)
            found = next((each for each in tried if fails(each)), None)
            if found is None:
                break
            shortest = found
    return shortest


def has_failed(scenario: Scenario) -> bool:
    """Whether its device has: what a bench may be to blame for is no failure."""
    record = scenario.record
    if record is not None and record.outcome is Outcome.LAB_ERROR:
        raise LabError(record.error)
    return record is not None and not record.passed


@pytest.mark.goes_on
@pytest.mark.variants("kernel-panic", "failing-service")
def test_walk(bench: Bench, releases: Releases, scenario: Scenario, walked: str) -> None:
    events = parse(walked)

    def fails(shorter: Sequence[WalkEvent]) -> bool:
        trial = scenario.afresh()
        with contextlib.suppress(DeviceError):
            walk(bench, releases, trial, shorter)
        return has_failed(trial)

    try:
        walk(bench, releases, scenario, events)
    except (AssertionError, DeviceError) as error:
        if not has_failed(scenario):
            raise
        name = ",".join(map(str, shortest_failing(events, fails)))
        pytest.fail(f"{error}\nthe shortest walk that fails: --scenario 'walk[{name}]'")
