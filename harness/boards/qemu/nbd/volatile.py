"""The content of the medium as its reader sees it, and the way back to what is stable.

The content (`content.py`) always is the current view, every accepted write applied. For each
write that no flush has covered, what it overwrote is kept in `undo.bin`, and its own data is in
the write log: a power cut rolls all of them back, newest first, and applies those that survive
again, oldest first.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.boards.qemu.nbd.content import Content
from harness.medium.files import SECTOR
from harness.medium.log import LogRecord, RecordKind
from harness.medium.loss import choose
from harness.medium.model import Loss

_UNDO_KEPT = 64 << 20  # bytes


class Unflushed(NamedTuple):
    """A write that a power cut may undo.

    `promised`: answered and stable (FUA, or an SD card); listed because an older, unflushed write
    may lie under it, or because a card may have it in its cache all the same.
    """

    record: LogRecord
    undo_at: int
    promised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallout:
    """What a power cut did to the unflushed writes: log positions; torn: (position, sectors)."""

    kept: tuple[int, ...]
    lost: tuple[int, ...]
    torn: tuple[int, int] | None


class Volatile:
    """Content and undo file; not thread-safe. `cache`: so many writes that were answered last can
    still be undone, by a loss that says so."""

    def __init__(self, content: Content, undo: Path, cache: int = 0) -> None:
        self._content = content
        self._cache = cache
        self._undo = os.open(undo, os.O_RDWR | os.O_CLOEXEC)
        self._undo_end = 0
        self._writes: list[Unflushed] = []

    def in_doubt(self, window: int = 0) -> list[Unflushed]:
        """Writes that a power cut may undo, oldest first; with `window` also the last so many that
        were answered, but for FUA ones. ValueError for more of those than are kept."""
        if window > self._cache:
            raise ValueError(f"~{window}: this medium only keeps {self._cache} answered writes")
        answered = [write for write in self._writes if write.promised]
        cached = {w.record.position for w in answered[-window:] if window and not w.record.fua}
        return [w for w in self._writes if not w.promised or w.record.position in cached]

    def remember(self, record: LogRecord, *, promised: bool) -> Unflushed | None:
        """Keep account of a write in the log; None when no power cut can undo it.

        Also rebuilds the account from a log: the place of each undo follows from the order.
        """
        if promised and not self._writes and not self._cache:
            return None
        write = Unflushed(record, self._undo_end, promised)
        self._undo_end += record.length
        self._writes.append(write)
        if self._cache and len(self._writes) > self._cache + (not promised):
            oldest = self._writes.pop(0).record  # has left the card's cache
            self._content.settle(oldest.offset, oldest.length)
        return write

    def apply(self, record: LogRecord, data: bytes | memoryview, *, promised: bool) -> None:
        """Apply a logged write, zero or trim to the current view."""
        write = self.remember(record, promised=promised)
        if write:
            self._content.keep(record.offset, record.length, self._undo, write.undo_at)
        if record.kind is RecordKind.WRITE:
            self._content.write(data, record.offset)
        else:
            self._content.zero(record.offset, record.length)
        if write is None:
            self._content.settle(record.offset, record.length)

    def settle(self) -> None:
        """All that was written is stable from now on (a flush, or the end of a power cut)."""
        for write in self._writes:
            self._content.settle(write.record.offset, write.record.length)
        if self._undo_end > _UNDO_KEPT:  # give the room back to the host, but not at each flush
            os.ftruncate(self._undo, 0)
        self.forget()

    def forget(self) -> None:
        """As `settle`, for a flush of the past: the undo file already holds what came later."""
        self._writes.clear()
        self._undo_end = 0

    def lose(self, loss: Loss, log: int) -> Fallout:
        """Power cut: undo what is lost; `log` is the open write log, for the data to keep.

        Raises ValueError, with nothing done, for a loss that names a write that is not in doubt.
        """
        doubtful = self.in_doubt(loss.window)
        positions = [write.record.position for write in doubtful]
        fate = choose([write.record.length for write in doubtful], loss, positions)
        kept = {doubtful[index].record.position for index in fate.kept}
        torn = None
        if fate.torn:
            torn = (doubtful[fate.torn[0]].record.position, fate.torn[1])
        lost = tuple(at for at in positions if at not in kept)
        if lost or torn:
            self._rewrite(lost, torn, log)
        self.settle()
        return Fallout(kept=tuple(at for at in positions if at in kept), lost=lost, torn=torn)

    def _rewrite(self, lost: Sequence[int], torn: tuple[int, int] | None, log: int) -> None:
        """Roll all of them back and apply what stays again; then none is in doubt any more."""
        gone = frozenset(lost)
        for write in reversed(self._writes):
            record = write.record
            self._content.roll_back(record.offset, record.length, self._undo, write.undo_at)
        for write in self._writes:
            record = write.record
            if record.position not in gone:
                length = record.length
                if torn and torn[0] == record.position:
                    length = torn[1] * SECTOR
                if record.kind is RecordKind.WRITE:
                    self._content.put(record.offset, length, log, record.payload_at)
                else:
                    self._content.zero(record.offset, length)
                self._content.settle(record.offset, length)
        self._writes.clear()

    def close(self) -> None:
        """Give the undo file back."""
        os.close(self._undo)
