"""One update with any faults around it, one after the other or at the same time.

The real-time clock is wrong from before; network faults strike the download one after the other,
the server answers in another manner, the running clock jumps, the medium fails from before the
install until it has ended, the memory is taken once all is downloaded; one power cut ends the
install or comes in the boot after it; a block of the data partition is damaged while the board is
off; the network is wrong in the trial. Afterwards all is well again, and the board must be so, too:
in the old version or in the new one, and it must update.

A medium that fails from a phase on fails through the boots after it: what it cannot store can cost
the update, never the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.clients.boot_selection import Slot
from harness.clients.client import InstallResult
from harness.crash.disk import ext4
from harness.errors import DeviceError
from harness.evidence.record import Fault
from harness.faults.network import NetworkFaultKind
from harness.faults.power import CutPhase, PowerFault
from harness.faults.storage import DataFault, MediumFault
from harness.faults.trial import TrialFault
from harness.judge.health import ROLLED_BACK
from harness.judge.judge import Judge
from harness.judge.provision import BOOT_SECONDS, DOWNLOAD_AND_INSTALL_SECONDS
from harness.judge.verdict import Judgement, Verdict
from harness.medium.model import Misdeed
from harness.product.release import Release
from harness.scenarios.asked import AskedFaults
from harness.scenarios.bench import Bench
from harness.scenarios.scenario import Scenario
from harness.scenarios.suite.moment import Missed, reach, trigger_of
from harness.scenarios.suite.test_clock import SLOWLY, begin_at, jump
from harness.scenarios.suite.test_medium import comes_up
from harness.scenarios.suite.test_memory import install_out_of_memory
from harness.scenarios.suite.test_network import require_struck
from harness.scenarios.suite.test_power_cut import MUST_END_OLD
from harness.scenarios.suite.test_storage import judge_damaged
from harness.scenarios.suite.test_trial import WRONG

_GOOD = frozenset({Verdict.OLD, Verdict.NEW, Verdict.RECOVERED})
# What a medium that keeps nothing from then on can come up in: none can count its attempts.
_OLD_WHILE_READ_ONLY = {
    *MUST_END_OLD,
    *(CutPhase.SWITCH, CutPhase.ACKNOWLEDGED, CutPhase.BOOTLOADER, CutPhase.FIRST_BOOT),
}


def up_in(fault: MediumFault) -> frozenset[str]:
    """The versions that a board may come up in while its medium fails from a phase on; nothing
    where it need not come up."""
    if not fault.lets_it_boot:
        return frozenset()
    if fault.since is CutPhase.COMMITTED:
        return frozenset({"new"})
    if fault.is_read_only and fault.since in _OLD_WHILE_READ_ONLY:
        return frozenset({"old"})
    return frozenset({"old", "new"})


def ends_in(fault: MediumFault) -> frozenset[Verdict]:
    """What it may end in once its medium is well again."""
    if fault.since is CutPhase.COMMITTED:
        return frozenset({Verdict.NEW})
    if fault.is_read_only and fault.since in MUST_END_OLD:
        return frozenset({Verdict.OLD})
    return _GOOD


@dataclass
class _Trial:
    """What is wrong in it, if anything: begun once it is booting, and ended whatever happens."""

    bench: Bench
    wrong: TrialFault | None
    end: Callable[[], object] = lambda: None

    def begin(self) -> bool:
        """Whether there is anything."""
        if self.wrong:
            self.end = WRONG[self.wrong](self.bench)
        return self.wrong is not None


@dataclass(kw_only=True)
class Around:
    """One update of a board that runs `old`, with all of them."""

    bench: Bench
    scenario: Scenario
    judge: Judge
    faults: AskedFaults
    old: Release
    new: Release
    told: dict[str, object] = field(default_factory=dict)
    refused: str = ""  # what the client said of an install that it did not bring to its end
    installed: bool = False
    provoked: bool = False  # whether anything had gone wrong by then
    boots: int = 0  # before the install
    expected: frozenset[Verdict] = _GOOD

    def go(self) -> Judgement:
        """From the first fault to the last; what is told stands in the record meanwhile."""
        if self.faults.clock:
            begun = begin_at(self.bench, self.scenario, self.judge, self.faults.clock, self.old)
            self.told |= begun
        first, strange, self.boots = len(self.bench.proxy.requests), 0, self.bench.board.boots
        self._begin()
        try:
            self._install(first)
        finally:
            strange = self.bench.server.strange_answers
            self.bench.server.behave(None)
            self.bench.proxy.disarm()
            self.bench.proxy.wait_link_up(self.faults.longest_without_link + 60)
        self._look(first, strange)
        judgement = self._failing_boots() if self.faults.since else self._boot()
        self._tell()
        return judgement

    def _begin(self) -> None:
        """All that is there before the download."""
        bench, faults = self.bench, self.faults
        if faults.medium and (faults.since is None or self._in_install):
            self._fail()
        bench.server.behave(faults.server, since=lambda: bench.proxy.done >= faults.before_server)
        network = faults.network
        if faults.jump and not any(each.kind is NetworkFaultKind.RATE for each in network):
            network = (*network, SLOWLY)
        if network:
            bench.proxy.arm(*network)

    @property
    def _in_install(self) -> bool:
        """Whether the medium begins to fail at a write of the install."""
        phase = self.faults.since and self.faults.since.since
        return bool(phase and phase.during_install and not phase.is_word)

    def _fail(self) -> None:
        """Let the medium fail: from now on, or from its phase on."""
        fault = self.faults.since
        since = None
        if fault and fault.since and not fault.since.is_word:
            target = self.bench.client.status(timeout=60).other_slot
            since = trigger_of(
                self.bench, self.judge, fault.since, self.new, target, number=fault.number
            )
        failings = [each.failing(self.old.layout) for each in self.faults.medium]
        self.bench.board.can.medium_fail.fail(failings, since=since)

    def _install(self, first: int) -> None:
        """Ask for the update, with what happens meanwhile."""
        bench, faults = self.bench, self.faults

        def begun() -> None:
            if faults.jump:
                self.told |= jump(bench, faults.jump, self.new.artifact.stat().st_size, first)

        if faults.power and faults.power.phase.during_install:
            self.installed = faults.power.phase is CutPhase.ACKNOWLEDGED
            try:
                self._cut_in(faults.power, begun)
            except Missed as missed:
                self.scenario.injected(False, str(missed))
                self._ended(missed.result)
        elif faults.memory:
            self.installed, told = install_out_of_memory(
                bench, faults.memory, self.new, begun=begun
            )
            self.told |= told
        else:
            self._ask(begun)

    def _ask(self, begun: Callable[[], None]) -> None:
        client = self.bench.client
        try:
            client.start_install(self.bench.offer(self.new))
            begun()
            result = client.wait_install(DOWNLOAD_AND_INSTALL_SECONDS)
        except DeviceError as error:
            if not self._in_install:  # one whose medium dies may have nobody left to answer
                raise
            self.refused = str(error)
            self.told["client"] = self.refused
        else:
            self._ended(result)

    def _ended(self, result: InstallResult) -> None:
        self.installed = result.ok
        if not result.ok:
            self.refused = result.output[-500:] or f"exit code {result.returncode}"
        self.told["client"] = self.refused or result.output[-1000:]

    def _look(self, first: int, strange: int) -> None:
        """What has struck until the end of the install, and what it has not."""
        faults, scenario, proxy = self.faults, self.scenario, self.bench.proxy
        struck = 0
        if faults.medium and not faults.since:
            struck = self._medium_is_well()
        if faults.server:
            self.told["server"] = f"{strange} answers"
            scenario.injected(strange > 0, f"the device met nothing of {faults.server}")
        strikes = proxy.met if faults.network else []
        self.told["strikes"] = strikes
        self._tell()
        if faults.network:
            require_struck(self.bench, scenario, proxy.downloads(first), self.new)
        self.provoked = bool(struck or strange or strikes)
        if not self._in_install:  # that one is told later
            self._require_provoked()
        if faults.trial or (faults.since and not self._in_install):
            scenario.injected(self.installed, "nothing was installed, so there was no trial")

    def _require_provoked(self) -> None:
        """Nobody may refuse the update before anything went wrong."""
        unprovoked = self.refused and not self.provoked
        self.scenario.must("installed", not unprovoked, f"before any fault: {self.refused}")

    def _medium_is_well(self) -> int:
        """How often it has struck."""
        struck = self.bench.board.can.medium_fail.fail([])
        self.told["medium"] = f"{struck} times"
        phase = f" from {self.faults.since.since} on" if self.faults.since else ""
        self.scenario.injected(struck > 0, f"the board never asked for what fails{phase}")
        return struck

    def _boot(self) -> Judgement:
        """The boot after the install, and what may be wrong in it."""
        board, faults, boots = self.bench.board, self.faults, self.bench.board.boots
        if faults.before_trial:
            self._damage(faults.before_trial)
        trial = _Trial(self.bench, faults.trial if self.installed else None)
        try:
            if faults.power and not faults.power.phase.during_install:
                self._cut_in(faults.power, trial.begin)
                boots = board.boots
            else:
                if not board.is_on:
                    board.power_on()
                elif boots > self.boots:  # out of memory, it has reset itself
                    boots = self.boots
                else:
                    self.bench.client.reboot(timeout=60)
                if trial.begin():
                    limit = self.judge.limits.boot_seconds
                    self.told["said"] = board.expect(ROLLED_BACK, timeout=limit)
                    self.expected = frozenset({Verdict.RECOVERED})
        finally:
            trial.end()
        if not board.is_on:
            board.power_on()
        return judge_damaged(self.bench, self.judge, faults.before_trial, boots)

    def _cut_in(self, power: PowerFault, begun: Callable[[], object]) -> None:
        reach(self.bench, self.judge, power.phase, self.new, number=power.number, begun=begun)
        self.bench.board.can.choose_loss.cut(power.loss)

    def _damage(self, faults: Sequence[DataFault]) -> None:
        """With the board off, which it stays."""
        board = self.bench.board
        if board.is_on:
            board.run("sync", timeout=60)
            board.power_off()
        system = ext4.find(self.old.disk_image, self.old.layout["data"])
        for each in faults:
            each.strike(board.can, system)

    def damaged_afterwards(self, judgement: Judgement) -> Judgement:
        """The data partition is damaged when all else is over: it must come up in the same version,
        at the first boot."""
        faults, board = self.faults.afterwards, self.bench.board
        if not faults or judgement.verdict.failed:
            return judgement
        self._damage(faults)
        boots = board.boots
        board.power_on()
        again = judge_damaged(self.bench, self.judge, faults, boots)
        same = (again.final, again.boots) == (judgement.final, 1) and not again.verdict.failed
        self.scenario.further("comes-up-damaged", again, same)
        for each in again.not_checked:
            self.scenario.leave(each.name, each.why)
        return again

    def _failing_boots(self) -> Judgement:
        """The medium fails on through the boots after the install, or from one of them on, and is
        well again afterwards."""
        bench, board, fault = self.bench, self.bench.board, self.faults.since
        assert fault
        if fault.what is Misdeed.WRITE_ERROR and fault.is_read_only and fault.since in MUST_END_OLD:
            self.scenario.must("refused", not self.installed, "its medium refused what it wrote")
        if fault.since is CutPhase.COMMITTED:
            boots = board.boots
            bench.client.reboot(timeout=60)
            problem = self.judge.health.wait(boots)
            bench.must(not problem, f"{self.new.version} was not committed: {problem}")
        if not self._in_install:
            self._fail()
        boots = board.boots
        self._restart()
        line = comes_up(bench, self.judge, boots)
        self.told["came up"] = line
        self._tell()
        if versions := up_in(fault):
            good = [slot for slot in Slot if self.judge.medium.content(slot) in versions]
            there = any(f"slot {slot}:" in line for slot in good)
            self.scenario.must("comes-up-good", there, line or "not at all")
        board.power_off()
        self.provoked = bool(self._medium_is_well()) or self.provoked
        if self._in_install:
            self._require_provoked()
        boots = board.boots
        board.power_on()
        self.expected = ends_in(fault)
        return self.judge.judge(boots_before=boots)

    def _restart(self) -> None:
        """Have it boot: as it is asked to, or, where that leads nowhere, by its plug."""
        board, boots = self.bench.board, self.bench.board.boots
        try:
            self.bench.client.reboot(timeout=60)
            board.wait_boots(boots + 1, timeout=BOOT_SECONDS)
        except DeviceError:
            if board.boots == boots:
                board.power_off()
                board.power_on()

    def _tell(self) -> None:
        self.scenario.fault = Fault(printed=self.faults.printed, parameters=dict(self.told))


def under_faults(
    bench: Bench, scenario: Scenario, faults: AskedFaults, old: Release, new: Release
) -> None:
    """One update with all of them."""
    judge = bench.judge(old, new)
    around = Around(bench=bench, scenario=scenario, judge=judge, faults=faults, old=old, new=new)
    with scenario:
        scenario.fault = Fault(printed=faults.printed)
        bench.running(old)
        judgement = around.go()
        scenario.conclude(judgement, expected=around.expected)
        judgement = around.damaged_afterwards(judgement)
        scenario.second_update(judge, judgement)
