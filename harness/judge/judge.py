"""The judge: lets a board boot after a fault until it is healthy or out of budget, then looks.

What the device says of itself is only half of a verdict. So it is *asked* first (`inquiry`), and
then its medium is *inspected* (`inspection`), behind the back of the software under test; both must
agree. Where the medium can only be read while the board is off, it is switched off in between, and
comes back afterwards. What nobody could look at is told as not checked.
"""

import contextlib
from dataclasses import dataclass, field, replace

from harness.boards.board import Board
from harness.boards.capability import Capability
from harness.clients.boot_selection import BootSelection, SlotState
from harness.clients.client import Client, DeviceStatus
from harness.errors import DeviceError, IdentityChanged, LabError
from harness.judge import identity, root
from harness.judge.health import Budget, Health
from harness.judge.identity import Identity
from harness.judge.inquiry import REACH_SECONDS, Inquiry
from harness.judge.inspection import Inspection
from harness.judge.services import Services
from harness.judge.trouble import muteness, require_lab
from harness.judge.verdict import Invariant, Judgement, NotChecked, Verdict
from harness.log import emit, step
from harness.product.release import Release

BOOTS_AGAIN = "boots-again"  # the invariant of a board that was switched off to be inspected


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges one board against the two versions that an update leads from and to.

    `asks_server` False leaves out whether the device reaches its update server: for who lets it
    install an update from there afterwards, and so sees more. `provisioned` False: a device that
    its site has given nothing yet, so that there is no sentinel to lose. `identity` is learned at
    the first look unless it is known. `flashed` is the release whose disk image the board was
    flashed with: where things are on its medium is that one's to say, whatever was installed since,
    and how often its bootloader tries. `bad`: a version that was tried, and may be in a slot
    still. `budget`: another one than follows from what is promised.
    """

    board: Board
    client: Client
    old: Release
    new: Release
    flashed: Release
    bad: Release | None = None
    budget: Budget | None = None
    asks_server: bool = True
    provisioned: bool = True
    identity: Identity = field(default_factory=Identity)

    def judge(self, *, boots_before: int, leave_off: bool = False) -> Judgement:
        """Wait for health, then check every invariant.

        `boots_before` is the board's boot count when the fault (or the reboot) struck: the first
        boot after it is the normal one, further ones make a good end `recovered`. The board is on
        and healthy afterwards, as it was found; with `leave_off` one that had to be switched off
        may stay so, which saves a boot where nobody needs it any more.
        """
        with step("judge", board=self.board.name):
            problem = self.health.wait(boots_before)
            boots = self.board.boots - boots_before
            if problem:
                return self._failed(Verdict.BRICKED, "healthy", problem, boots)
            if boots < 1:
                raise LabError(f"{self.board.name}: health was seen without a boot")
            try:
                found = self._look(boots_before + boots, boots)
            except IdentityChanged as error:
                return self._failed(Verdict.INCONSISTENT, identity.NAME, str(error), boots)
            except DeviceError as error:  # healthy on the console, but not to be reached
                return self._failed(Verdict.INCONSISTENT, "reachable", str(error), boots)
            if self._off_to_be_read and not leave_off:
                found = self._back(found)
        return self._told(found)

    def _look(self, until: int, boots: int) -> Judgement:
        """Ask, inspect, and see that it has not reset itself meanwhile: after boot `until`."""
        asked = Inquiry.make(
            self.board,
            self.client,
            self.identity,
            has_sentinel=self.provisioned,
            asks_server=self.asks_server,
        )
        status = asked.status
        running = self._name_of(status.version, status.variants)
        known = Invariant.of(
            "version-known", bool(running), f"runs {status.version or 'nothing known'}"
        )
        claims = self._claims(status)
        inspected, not_checked = self._inspect(status, running)
        more = self.board.boots - until
        stayed = Invariant.of("stayed-up", more == 0, f"{more} resets while it was looked at")
        found = Judgement.by(
            (known, *asked.invariants, *claims[0], *inspected, stayed),
            final=running,
            boots=boots,
            slot=str(status.slot),
            not_checked=(*asked.not_checked, *claims[1], *not_checked),
        )
        return replace(found, services=asked.services)

    def _claims(self, status: DeviceStatus) -> tuple[list[Invariant], list[NotChecked]]:
        """Whether the slot that commands of a profile name is the one that runs. Our own programs
        take it from the kernel's command line, and have no more to say."""
        if self.flashed.product.device is None:
            return [], []
        layout = self.flashed.layout
        found = root.agrees(self.board, status.slot, layout, timeout=REACH_SECONDS)
        return ([found], []) if isinstance(found, Invariant) else ([], [found])

    def _inspect(
        self, status: DeviceStatus, running: str
    ) -> tuple[tuple[Invariant, ...], tuple[NotChecked, ...]]:
        """Look at the medium, with the board off where it must be; what cannot be looked at."""
        if Capability.MEDIUM_READ not in self.board.can:
            why = f"the board has no {Capability.MEDIUM_READ}"
            return (), tuple(NotChecked(name=each, why=why) for each in Inspection.NAMES)
        if self._off_to_be_read:
            # Whether what it has said is also stable is a power cut's question, not this one.
            self.board.run("sync", timeout=REACH_SECONDS)
            self.board.power_off()
        return self.medium.check(status, running)

    @property
    def _off_to_be_read(self) -> bool:
        """Whether its medium can be read, and only while it is off."""
        can = self.board.can
        return Capability.MEDIUM_READ in can and Capability.MEDIUM_READ_LIVE not in can

    def _back(self, found: Judgement) -> Judgement:
        """Boot a board that was switched off to be inspected: it must be well once more."""
        boots = self.board.boots
        self.board.power_on()
        problem = self.health.wait(boots)
        if problem:
            require_lab(self.board, problem)
        again = Invariant.of(BOOTS_AGAIN, not problem, problem)
        return replace(
            found,
            verdict=Verdict.BRICKED if problem else found.verdict,
            invariants=(*found.invariants, again),
        )

    def stays_well(self, before: Services | None = None) -> Invariant:
        """Look again at a board that was well, a dwell later: what its health check saw was one
        instant. `before`: what ran when it was judged; None: what runs now. Returns at once when
        it resets; DeviceError when it cannot be reached any more."""
        boots = self.board.boots
        before = before or Services.look(self.board, timeout=REACH_SECONDS)
        if outlive := before.outlive(self.dwell):
            return Invariant.of("stays-well", False, "; ".join(outlive))
        with step("dwell", board=self.board.name):
            # Nothing comes: that is what is waited for.
            with contextlib.suppress(DeviceError):
                self.board.wait_boots(boots + 1, timeout=self.dwell)
            if self.board.boots != boots:
                return Invariant.of("stays-well", False, "it has reset itself")
            status = self.client.status(timeout=REACH_SECONDS)
            after = Services.look(self.board, timeout=REACH_SECONDS)
        told = before.gone(after, may_end=self._may_end) + [
            f"{unit} has failed" for unit in after.failed
        ]
        told += [] if status.health == "ok" else [status.health]
        return Invariant.of("stays-well", not told, "; ".join(told))

    @property
    def medium(self) -> Inspection:
        """What is on its medium."""
        return Inspection(
            board=self.board, old=self.old, new=self.new, flashed=self.flashed, bad=self.bad
        )

    @property
    def health(self) -> Health:
        """What it says of its health."""
        return Health(
            board=self.board,
            client=self.client,
            budget=self.limits,
            repeats=self.soak > 0 or self.repeats,
            waits=self._waits,
            asked=self.flashed.product.device is not None,
        )

    def selection_now(self) -> BootSelection | None:
        """The boot selection of a board that is up: on the medium, or, where that cannot be read
        meanwhile, as the device reads it (DeviceError when it does not answer)."""
        if Capability.MEDIUM_READ_LIVE in self.board.can:
            return self.medium.selection()
        return self.client.boot_selection(timeout=REACH_SECONDS)

    def _waits(self) -> bool:
        try:
            chosen = self.selection_now()
        except DeviceError:
            return True  # nobody can say: until its time is over
        return chosen is not None and chosen.slots[chosen.primary].state is SlotState.TRIAL

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
    def dwell(self) -> float:
        """Seconds that a version is watched after it was well."""
        return float(max(self.old.product.promises.dwell, self.new.product.promises.dwell))

    @property
    def _may_end(self) -> tuple[str, ...]:
        """Services that may end in good order, whichever version runs."""
        return (*self.old.product.promises.ends, *self.new.product.promises.ends)

    @property
    def repeats(self) -> bool:
        """Whether a boot may say more than once how well it is."""
        return "repeatedly" in (self.old.product.promises.health, self.new.product.promises.health)

    def _name_of(self, version: str, variants: tuple[str, ...]) -> str:
        for name, release in (("old", self.old), ("new", self.new)):
            # Only our own programs tell what is wrong with a version on purpose.
            told = release.variants if release.product.device is None else variants
            if (version, variants) == (release.version, told):
                return name
        return ""

    def _failed(self, verdict: Verdict, name: str, problem: str, boots: int) -> Judgement:
        """Of a board that could not be looked at, unless the bench is to blame (LabError)."""
        require_lab(self.board, problem)
        if trouble := muteness(self.board, self.flashed, problem):
            raise trouble
        broken = Invariant(name=name, holds=False, detail=problem)
        return self._told(Judgement(verdict=verdict, final="", boots=boots, invariants=(broken,)))

    def _told(self, found: Judgement) -> Judgement:
        emit(
            "verdict",
            board=self.board.name,
            verdict=found.verdict,
            final=found.final,
            boots=found.boots,
        )
        return found
