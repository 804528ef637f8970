"""Sectors that a medium cannot read any more, until they are written.

As a drive does it: a read that touches one fails, a write gives the sector a good place elsewhere.
A write counts for that as soon as it is accepted, also one that a power cut takes back later.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import errno
from collections.abc import Iterable

from harness.boards.qemu.nbd.failing import AskedError
from harness.medium.files import SECTOR


class Damage:
    """The unreadable sectors of one medium; offsets and lengths in bytes, whole sectors."""

    def __init__(self, sectors: Iterable[int] = ()) -> None:
        self._sectors = set(sectors)

    def add(self, offset: int, length: int) -> None:
        """From now on a range cannot be read."""
        self._sectors.update(_sectors(offset, length))

    def heal(self, offset: int, length: int) -> None:
        """A range is written."""
        if self._sectors:
            self._sectors.difference_update(_sectors(offset, length))

    def check(self, offset: int, length: int) -> None:
        """A range is read: OSError (EIO) when a sector of it is unreadable."""
        if self._sectors and not self._sectors.isdisjoint(_sectors(offset, length)):
            raise AskedError(errno.EIO, f"unreadable sector in {length} bytes at {offset}")

    def sectors(self) -> list[int]:
        """Which they are, in order."""
        return sorted(self._sectors)


def _sectors(offset: int, length: int) -> range:
    return range(offset // SECTOR, -(-(offset + length) // SECTOR))
