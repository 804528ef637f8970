"""What a board may be able to do beyond its core: each capability by name, and as a protocol.

A board in a rack has power, a console and a network; a board that QEMU plays can also be cut at an
exact write, choose what the cut takes, be saved, and more. Who needs a capability takes it from
`Board.can`, typed, and gets a LabError that names board and capability where it is lacking; who
can do without it asks `Capability.X in board.can` first. Scenarios name what they need
(`pytest.mark.needs`), so that what a board lacks is left out before anything begins.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

from harness.errors import LabError
from harness.medium.model import Failing, Loss, PowerCut, Trigger

_Found = TypeVar("_Found")


class Capability(StrEnum):
    """The names: in scenarios, in what is said of a board, in evidence."""

    MEDIUM_READ = "medium-read"
    MEDIUM_READ_LIVE = "medium-read-live"  # also while the board runs, not only while it is off
    MEDIUM_WRITE = "medium-write"
    MEDIUM_FAIL = "medium-fail"
    CUT_AT_WRITE = "cut-at-write"
    CHOOSE_LOSS = "choose-loss"
    SAVE = "save"
    RECORD = "record"
    LINK = "link"
    SET_CLOCK = "set-clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """A board's machine state (RAM, devices) together with its medium, both at one instant."""

    folder: Path
    boots: int

    @property
    def running(self) -> bool:
        """Whether a restored board runs: there is a machine state, not just a medium."""
        return (self.folder / "machine").exists()


class MediumRead(Protocol):
    """The medium is read, not asked from the software under test."""

    @property
    def live(self) -> bool:
        """Whether the board may be on meanwhile; else it must be off (an SD mux)."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the medium."""

    def sha256(self, offset: int, length: int) -> str:
        """SHA-256 of a byte range of the medium, in hex."""


class MediumWrite(Protocol):
    """Storage faults of a board that is off: what was written is not there any more."""

    def overwrite(self, offset: int, content: bytes) -> None:
        """That part of the medium reads so from now on."""

    def harm(self, offset: int, length: int) -> None:
        """Reads of that part fail until it is written. LabError where the board's kind of medium
        cannot do that (an SD card under QEMU)."""


class MediumFail(Protocol):
    """Storage faults while the board uses its medium."""

    def fail(self, failings: Sequence[Failing], *, since: Trigger | None = None) -> int:
        """The medium fails so from now on, or from when `since` strikes, whether the board is on
        or off; with no failing it is well again, as after `flash` and `restore`. Returns how
        often what was set before has struck: a fault that was never met has tested nothing.
        LabError where the board's kind of medium cannot do that."""


class CutAtWrite(Protocol):
    """The power goes at an exact write of the medium."""

    def arm(self, trigger: Trigger) -> None:
        """Cut the power when the trigger's stages have been passed. One trigger at a time."""

    def wait_cut(self, timeout: float, *, unless: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the armed trigger strikes; then the board is dead, and, where losses can be
        chosen, as after `freeze`. False as soon as `unless` says so and it has not struck: the
        board goes on, the trigger stays armed. DeviceError on timeout."""

    def disarm(self) -> None:
        """Forget the trigger; one that has struck meanwhile is still to be waited for."""


class ChooseLoss(Protocol):
    """Who cuts the power says what the medium's volatile cache loses."""

    def freeze(self) -> None:
        """Take the power now, but do not decide yet what the medium lost: the board is dead, its
        medium still holds the volatile cache. `Save.save` works in this state, `cut` ends it."""

    def cut(self, loss: Loss) -> PowerCut:
        """Honest power cut: now, or the end of one by `freeze` or by the armed trigger (or of a
        restored state that was saved there); the board is off afterwards."""


class Save(Protocol):
    """An instant is kept, and gone back to."""

    def save(self, name: str) -> SavedState:
        """Stop time, keep machine state and medium (volatile cache included), go on.

        Of a board whose machine state cannot be kept only the medium is: restored, it is off, as
        after a power cut at this instant, and `SavedState.running` says so; sync it before. After
        `freeze` or `wait_cut` there is no machine any more: keeps the medium as it is."""

    def restore(self, state: SavedState) -> None:
        """Put the board back into a saved state: running, or dead where it was saved after
        `freeze` (only `cut` leads on from there); drops what it did since."""


class RecordWrites(Protocol):
    """All that a board writes is logged, and a state that is computed from that can be booted."""

    @property
    def accelerator(self) -> str:
        """What executes its instructions (`tcg`, `kvm`): boots are alike under the same only."""

    @property
    def write_log(self) -> Path:
        """The medium's write log since flashing; read it with `LogReader`, also while it grows."""

    def mark(self, name: str) -> None:
        """Write a named mark into the medium's write log."""

    def load_state(self, state_file: Path, *, clock: datetime, seed: int) -> None:
        """As `flash`, of a crash state (a state file, docs/medium.md), which is not copied. Its
        boots start with that clock and seed, to differ as little as they can; it cannot be saved.
        `flash` and `restore` end that."""

    def read_set(self) -> list[tuple[int, int]]:
        """Runs of sectors (first, count) that the board has read since `load_state`, before it
        wrote there: all that its boots could depend on. LabError after `flash`."""


class Link(Protocol):
    """The network cable."""

    def __call__(self, *, up: bool) -> None:
        """Plug or unplug it."""


class SetClock(Protocol):
    """The real-time clock is set behind the board's back."""

    def __call__(self, at: datetime | None) -> None:
        """A clock fault: the clock shows this (with a time zone) at the beginning of each boot from
        now on, as one whose battery is dead; None: the host's time, as after `flash` and
        `restore`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Who does what for a board, by capability; None: nobody does."""

    medium_read: MediumRead | None = None
    medium_write: MediumWrite | None = None
    medium_fail: MediumFail | None = None
    cut_at_write: CutAtWrite | None = None
    choose_loss: ChooseLoss | None = None
    save: Save | None = None
    record: RecordWrites | None = None
    link: Link | None = None
    set_clock: SetClock | None = None


class Capabilities:
    """What one board can do. Each property raises LabError where the board cannot."""

    def __init__(self, board: str, parts: Parts) -> None:
        self._board = board
        self._parts = parts

    def __iter__(self) -> Iterator[Capability]:
        for each in fields(self._parts):
            if getattr(self._parts, each.name) is not None:
                yield Capability(each.name.replace("_", "-"))
        if self._parts.medium_read and self._parts.medium_read.live:
            yield Capability.MEDIUM_READ_LIVE

    def __contains__(self, capability: Capability) -> bool:
        return capability in set(self)

    @property
    def medium_read(self) -> MediumRead:
        """Read the medium."""
        return self._held(Capability.MEDIUM_READ, self._parts.medium_read)

    @property
    def medium_read_live(self) -> MediumRead:
        """Read the medium of a board that may be on."""
        found = self.medium_read
        return self._held(Capability.MEDIUM_READ_LIVE, found if found.live else None)

    @property
    def medium_write(self) -> MediumWrite:
        """Change the medium."""
        return self._held(Capability.MEDIUM_WRITE, self._parts.medium_write)

    @property
    def medium_fail(self) -> MediumFail:
        """Let the medium fail."""
        return self._held(Capability.MEDIUM_FAIL, self._parts.medium_fail)

    @property
    def cut_at_write(self) -> CutAtWrite:
        """Cut the power at a write."""
        return self._held(Capability.CUT_AT_WRITE, self._parts.cut_at_write)

    @property
    def choose_loss(self) -> ChooseLoss:
        """Say what a power cut loses."""
        return self._held(Capability.CHOOSE_LOSS, self._parts.choose_loss)

    @property
    def save(self) -> Save:
        """Keep an instant."""
        return self._held(Capability.SAVE, self._parts.save)

    @property
    def record(self) -> RecordWrites:
        """Log what it writes, boot what is computed from it."""
        return self._held(Capability.RECORD, self._parts.record)

    @property
    def link(self) -> Link:
        """Plug and unplug the cable."""
        return self._held(Capability.LINK, self._parts.link)

    @property
    def set_clock(self) -> SetClock:
        """Set the clock."""
        return self._held(Capability.SET_CLOCK, self._parts.set_clock)

    def _held(self, capability: Capability, found: _Found | None) -> _Found:
        if found is None:
            raise LabError(
                f"{self._board} has no {capability}",
                hint=f"it has: {', '.join(sorted(self)) or 'its core only'} (docs/add-a-board.md)",
            )
        return found
