"""What a medium that fails does with requests, for as long as it fails.

Reported of flash and disks: a range that cannot be read or written any more, a card that has become
read-only and says so or does not, flushes that are answered and do nothing, requests that take
seconds. Each request that touches a range is asked; `damage.py` has what a write mends.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import errno
import time
from collections.abc import Callable, Sequence

from harness.boards.qemu.nbd.watch import Watch
from harness.medium.model import Failing, Misdeed, Model, Trigger

# QEMU's SD card answers a request that has failed as if it had not (hw/sd/sd.c).
HIDDEN = (Misdeed.READ_ERROR, Misdeed.WRITE_ERROR)


class AskedError(OSError):
    """An error that a fault has asked for: the board is to be told of it."""


class Failings:
    """The failings of one medium: from now on, or from when a trigger strikes."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._now: tuple[Failing, ...] = ()
        self._then: tuple[Failing, ...] = ()  # when the trigger has struck
        self._since: Watch | None = None
        self._sleep = sleep
        self._struck = 0

    def set(self, failings: Sequence[Failing], since: Trigger | None, model: Model) -> int:
        """Fail so, and in no other way; nothing at all: the medium is well again. Returns how often
        what ends with that has struck.

        Raises ValueError for what the board would not be told of.
        """
        if model is Model.SD and (hidden := [each for each in failings if each.what in HIDDEN]):
            raise ValueError(f"{hidden[0].what}: QEMU's SD card tells its guest of no failure")
        self._then = tuple(failings)
        self._now = () if since else self._then
        self._since = Watch(since) if since else None
        struck, self._struck = self._struck, 0
        return struck

    def delay(self, offset: int, length: int) -> None:
        """A range is asked for: takes the time that it takes. Nothing else may be held up by it."""
        for slow in self._touched(Misdeed.SLOW, offset, length):
            self._sleep(slow.seconds)

    def read(self, offset: int, length: int) -> None:
        """A range is read: OSError (EIO) where that fails."""
        self._refuse(Misdeed.READ_ERROR, offset, length)

    def written(self, offset: int, length: int, *, counts: bool = True) -> bool:
        """A range is to be written: OSError (EIO) where that fails, False where it is forgotten.
        With `counts` the trigger counts it, and may strike: this request is the last good one, or
        the first that is not."""
        since = self._since
        strikes = counts and since is not None and since.written(offset, length)
        if strikes and since and since.trigger.before:
            self._begin()
        self._refuse(Misdeed.WRITE_ERROR, offset, length)
        kept = not self._touched(Misdeed.FORGOTTEN_WRITE, offset, length)
        if strikes:
            self._begin()
        return kept

    def marked(self, name: str) -> None:
        """A mark, which the trigger may wait for."""
        if self._since and self._since.marked(name):
            self._begin()

    def flushed(self) -> bool:
        """A flush: False where it is answered and does nothing."""
        return not self._touched(Misdeed.FORGOTTEN_FLUSH, 0, 0)

    def _begin(self) -> None:
        self._now, self._since = self._then, None

    def _refuse(self, what: Misdeed, offset: int, length: int) -> None:
        if self._touched(what, offset, length):
            raise AskedError(errno.EIO, f"{what}: {length} bytes at {offset}")

    def _touched(self, what: Misdeed, offset: int, length: int) -> Sequence[Failing]:
        found = [each for each in self._now if each.touched(what, offset, length)]
        self._struck += len(found)
        return found
