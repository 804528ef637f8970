"""The judge: lets a board boot after a fault until it is healthy or out of budget, then looks.

What the device says of itself is only half of a verdict: slot contents and boot selection are also
read from the medium, behind the back of the software under test, and both must agree.
"""

import contextlib
import hashlib
import random
import re
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from harness.boards.board import Board
from harness.boards.capability import Capability
from harness.clients.boot_selection import BootSelection, Copies, Slot, SlotState
from harness.clients.client import Client, DeviceStatus
from harness.clients.selection_format import SelectionFormat, selection_format
from harness.deadline import Deadline
from harness.errors import DeviceError, IdentityChanged, LabError
from harness.judge import identity
from harness.judge.identity import Identity
from harness.judge.services import Services
from harness.judge.verdict import Invariant, Verdict
from harness.log import emit, step
from harness.product.release import Release
from harness.updates.server import HEALTHY

# What gateway-health writes to the console once a boot; `rolled back` is followed by a reboot.
HEALTH_LINE = r"gateway-health: slot [AB]: (ok|degraded|rolled back)[^\r\n]*"
ROLLED_BACK = r"gateway-health: slot [AB]: rolled back[^\r\n]*"
SENTINEL = "/data/sentinel"
_REACH_SECONDS = 60.0  # for a healthy board to answer over SSH
# How long a version is watched after it was well: longer than a watchdog's 60 s, and than systemd
# takes to see a service crash again and again.
DWELL_SECONDS = 75.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a board may take to come back by itself before it counts as bricked.

    `boots`: a trial slot has its attempts, then the old one must come; one more for the cut itself
    and one in reserve. `boot_seconds`: silence in one boot, longer than the longest way in which a
    device may help itself (a watchdog; systemd's JobTimeoutSec=360 in the gateway), and than a good
    version may wait for its commit.
    """

    boots: int
    boot_seconds: float

    @classmethod
    def of(cls, *, attempts: int, soak: int) -> Self:
        """What products get that promise this."""
        return cls(boots=attempts + 3, boot_seconds=390.0 + soak)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of the board, and what was checked for that."""

    verdict: Verdict
    final: str  # "old", "new", or "" where nothing known runs
    boots: int
    invariants: tuple[Invariant, ...]
    slot: str = ""  # that it runs from, "" where nobody could say


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges one board against the two versions that an update leads from and to.

    `asks_server` False leaves out whether the device reaches its update server: for who lets it
    install an update from there afterwards, and so sees more. `provisioned` False: a device that
    its site has given nothing yet, so that there is no sentinel to lose. `identity` is learned at
    the first look unless it is known. `flashed` is the release whose disk image the board was
    flashed with: where things are on its medium is that one's to say, whatever was installed since,
    and how often its bootloader tries. `budget`: another one than follows from what is promised.
    """

    board: Board
    client: Client
    old: Release
    new: Release
    flashed: Release
    budget: Budget | None = None
    asks_server: bool = True
    provisioned: bool = True
    identity: Identity = field(default_factory=Identity)

    def judge(self, *, boots_before: int) -> Judgement:
        """Wait for health, then check every invariant.

        `boots_before` is the board's boot count when the fault (or the reboot) struck: the first
        boot after it is the normal one, further ones make a good end `recovered`.
        """
        with step("judge", board=self.board.name):
            problem = self._await_health(boots_before)
            boots = self.board.boots - boots_before
            if problem:
                return self._bricked(problem, boots)
            if boots < 1:
                raise LabError(f"{self.board.name}: health was seen without a boot")
            try:
                status = self.client.status(timeout=_REACH_SECONDS)
                same = self.identity.look(self.board, status, timeout=_REACH_SECONDS)
                checked = self._check(status)
                invariants = (same, *checked, self._stayed_up(boots_before + boots))
            except IdentityChanged as error:
                return self._unreachable(identity.NAME, str(error), boots)
            except DeviceError as error:  # healthy on the console, but not to be reached
                return self._unreachable("reachable", str(error), boots)
        final = self._name_of(status.version, status.variants)
        verdict = Verdict.INCONSISTENT
        if final and all(invariant.holds for invariant in invariants):
            verdict = Verdict(final) if boots <= 1 else Verdict.RECOVERED
        return replace(self._judged(verdict, final, boots, invariants), slot=str(status.slot))

    def _await_health(self, boots_before: int) -> str:
        """Follow the console boot by boot; returns why the board is given up, or nothing."""
        boot = boots_before
        while True:
            try:
                if self._says_more:  # also the boot before, until it ends
                    self.board.wait_boots(boot + 1, timeout=self.limits.boot_seconds)
                boot = self.board.boots
                if boot - boots_before > self.limits.boots:
                    return f"not healthy after {self.limits.boots} boots"
                line = self.last_health(boot)
            except DeviceError as silence:
                if self.board.boots != boot:
                    continue  # it rebooted meanwhile: the next boot has its own time
                return f"no sign of health in boot {boot}: {silence.brief}"
            emit("health", board=self.board.name, boot=boot, line=line)
            if "rolled back" not in line:
                return ""

    def last_health(self, boot: int) -> str:
        """What a boot says of its health at last: its only line, or, where there may be more, the
        one when its version is well and committed, is left, or has no more time. DeviceError when
        it says nothing."""
        deadline = Deadline(self.limits.boot_seconds)
        if not self._says_more:
            return self._expect_health(boot, deadline)
        while True:
            line = self._newest_health(boot)
            if self._is_last(line) or deadline.over or self.board.boots != boot:
                break
            with contextlib.suppress(DeviceError):  # no reboot is no news
                self.board.wait_boots(boot + 1, timeout=min(5.0, deadline.left()))
        if not line:
            raise DeviceError(f"{self.board.name}: nothing about its health in boot {boot}")
        return line

    def _newest_health(self, boot: int) -> str:
        """The last one in the console log of that boot; boots before it may say more, too."""
        logs = self.board.console_logs
        said = logs[boot - 1].read_text(errors="replace") if len(logs) >= boot else ""
        found = [each[0] for each in re.finditer(HEALTH_LINE, said)]
        return found[-1] if found else ""

    def _is_last(self, line: str) -> bool:
        chosen = self.medium_selection()
        waits = chosen is not None and chosen.slots[chosen.primary].state is SlotState.TRIAL
        return "rolled back" in line or (line.endswith(": ok") and not waits)

    def _expect_health(self, boot: int, deadline: Deadline) -> str:
        """The health line, watched in slices so that a reboot loop is seen as such."""
        while True:
            try:
                return self.board.expect(HEALTH_LINE, timeout=min(5.0, deadline.left()))
            except DeviceError:
                if deadline.over or self.board.boots != boot:
                    raise

    def _check(self, status: DeviceStatus) -> tuple[Invariant, ...]:
        """All invariants of a board that reports health."""
        copies = self.copies()
        selection = self.format.counting(copies)
        contents = {slot: self.slot_content(slot) for slot in Slot}
        running = self._name_of(status.version, status.variants)
        unknown = [
            slot
            for slot in Slot
            if selection and selection.slots[slot].state is not SlotState.BAD and not contents[slot]
        ]
        running_choice = selection.slots[status.slot] if selection else None
        return (
            _invariant("version-known", bool(running), f"runs {status.version or 'nothing known'}"),
            _invariant(
                "slot-content",
                bool(running) and contents[status.slot] == running,
                f"runs {running or 'unknown'} in slot {status.slot}, whose content is "
                f"{contents.get(status.slot) or 'neither version'}",
            ),
            _invariant(
                "selectable-slots-known",
                selection is not None and not unknown,
                f"unknown: {unknown}",
            ),
            _invariant(
                "boot-selection",
                selection is not None
                and selection.primary == status.slot
                and selection.slots[status.slot].state is SlotState.GOOD,
                f"on the medium: {selection}, running slot {status.slot}",
            ),
            _invariant(
                "boot-selection-agrees",
                selection == status.boot_selection,
                f"on the medium: {selection}, by the device: {status.boot_selection}",
            ),
            _invariant(
                "boot-selection-redundant",
                self.format.redundant(copies),
                f"copies: {[str(copy) for copy in copies]}",
            ),
            _invariant(
                "attempts-restored",
                running_choice is not None and running_choice.left == self.attempts,
                f"slot {status.slot}: {running_choice}",
            ),
            *self._keeps_data(),
            _invariant("healthy", status.health == "ok", status.health),
            self._no_failed_units(),
            *self._reaches_server(),
        )

    def stays_well(self) -> Invariant:
        """Look again at a board that was well, a dwell later: what its health check saw was one
        instant. Returns at once when it resets; DeviceError when it cannot be reached any more."""
        boots = self.board.boots
        before = Services.look(self.board, timeout=_REACH_SECONDS)
        with step("dwell", board=self.board.name):
            # Nothing comes: that is what is waited for.
            with contextlib.suppress(DeviceError):
                self.board.wait_boots(boots + 1, timeout=DWELL_SECONDS)
            if self.board.boots != boots:
                return _invariant("stays-well", False, "it has reset itself")
            status = self.client.status(timeout=_REACH_SECONDS)
            after = Services.look(self.board, timeout=_REACH_SECONDS)
        told = before.gone(after) + [f"{unit} has failed" for unit in after.failed]
        told += [] if status.health == "ok" else [status.health]
        return _invariant("stays-well", not told, "; ".join(told))

    def _no_failed_units(self) -> Invariant:
        failed = Services.look(self.board, timeout=_REACH_SECONDS).failed
        return _invariant("no-failed-units", not failed, ", ".join(failed))

    def _keeps_data(self) -> tuple[Invariant, ...]:
        if not self.provisioned:
            return ()
        kept = self.board.run(f"cd {SENTINEL} && sha256sum *", timeout=60).stdout
        told = f"{SENTINEL} holds:\n{kept[-500:]}"
        return (_invariant("data-unchanged", kept == _sums(), told),)

    def _reaches_server(self) -> tuple[Invariant, ...]:
        if not self.asks_server:
            return ()
        result = self.board.run(
            'curl -sS --fail -m 20 "$(cat /data/config/update-server)/health"', timeout=40
        )
        told = f"{result.stderr.strip()} {result.stdout[:200]!r}"
        answered = result.returncode == 0 and result.stdout == HEALTHY
        return (_invariant("update-server-reachable", answered, told),)

    def _stayed_up(self, boots: int) -> Invariant:
        """A system that resets itself once it has reported health is not healthy."""
        more = self.board.boots - boots
        return _invariant("stayed-up", more == 0, f"{more} resets while it was looked at")

    @property
    def limits(self) -> Budget:
        """What the board gets: as was asked for, or by what the versions promise."""
        return self.budget or Budget.of(attempts=self.attempts, soak=self.soak)

    @property
    def attempts(self) -> int:
        """Boots that a version on trial gets."""
        return self.flashed.product.promises.attempts

    @property
    def soak(self) -> int:
        """Seconds that a good version may stay on trial, beside what a boot takes."""
        return max(self.old.product.promises.soak, self.new.product.promises.soak)

    @property
    def repeats(self) -> bool:
        """Whether a boot may say more than once how well it is."""
        return "repeatedly" in (self.old.product.promises.health, self.new.product.promises.health)

    @property
    def _says_more(self) -> bool:
        """Whether the first line about its health need not be the last one of a boot."""
        return self.soak > 0 or self.repeats

    @property
    def format(self) -> SelectionFormat:
        """How the board's bootloader keeps the boot selection."""
        return selection_format(self.flashed.product.bootloader)

    def copies(self) -> Copies:
        """Both copies of the boot selection on the medium; None for a torn one."""
        first, second = (
            self.format.parse(
                self.board.can.medium_read.read(*self.flashed.layout[f"boot-selection-{number}"]),
                self.attempts,
            )
            for number in (1, 2)
        )
        return first, second

    def medium_selection(self) -> BootSelection | None:
        """The boot selection as the bootloader will read it."""
        return self.format.counting(self.copies())

    def slot_content(self, slot: Slot) -> str:
        """`old` or `new`, whichever release's slot image fills the slot byte for byte, or ``."""
        offset, _ = self.flashed.layout[slot.region]
        for name, release in (("old", self.old), ("new", self.new)):
            if self.board.can.medium_read.sha256(offset, release.slot.size) == release.slot.sha256:
                return name
        return ""

    def _name_of(self, version: str, variants: tuple[str, ...]) -> str:
        for name, release in (("old", self.old), ("new", self.new)):
            if (version, variants) == (release.version, release.variants):
                return name
        return ""

    def require_lab(self, problem: str) -> None:
        """LabError when `problem` may be the bench's fault."""
        if trouble := lab_trouble(self.board, problem):
            raise trouble

    def _bricked(self, problem: str, boots: int) -> Judgement:
        self.require_lab(problem)
        invariant = _invariant("healthy", False, problem)
        return self._judged(Verdict.BRICKED, "", boots, (invariant,))

    def _unreachable(self, name: str, problem: str, boots: int) -> Judgement:
        self.require_lab(problem)
        invariant = _invariant(name, False, problem)
        return self._judged(Verdict.INCONSISTENT, "", boots, (invariant,))

    def _judged(
        self,
        verdict: Verdict,
        final: str,
        boots: int,
        invariants: tuple[Invariant, ...],
    ) -> Judgement:
        emit("verdict", board=self.board.name, verdict=verdict, final=final, boots=boots)
        return Judgement(verdict=verdict, final=final, boots=boots, invariants=invariants)


def lab_trouble(board: Board, problem: str) -> LabError | None:
    """What to say instead of `problem` when the bench may be at fault: a medium that its host could
    not serve, a boot that got too little of its host."""
    try:
        if Capability.RECORD in board.can:
            board.can.record.mark("problem")
    except LabError as error:
        return LabError(error.brief, details=f"{error.details}\n{problem}".strip(), hint=error.hint)
    share = board.share()
    emit("share", board=board.name, **asdict(share))
    if not share.starved:
        return None
    return LabError(
        f"{board.name}: the bench is too busy to tell: {share}",
        details=problem,
        hint="repeat it when less runs on this host, or with fewer boards at a time",
    )


def sentinel() -> dict[str, bytes]:
    """Name -> content of the files that no update may touch: the same on every board."""
    source = random.Random(20260101)  # noqa: S311 - content to recognize, not a secret
    return {f"{number}.bin": source.randbytes(64 * 1024) for number in range(4)}


def _sums() -> str:
    """What sha256sum must print for the sentinel."""
    files = sentinel().items()
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files)


def _invariant(name: str, holds: bool, detail: str) -> Invariant:
    return Invariant(name=name, holds=holds, detail="" if holds else detail)
