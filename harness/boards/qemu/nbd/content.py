"""What a medium reads as: a seam with two sides, a flat file and a crash state (`cut.py`).

`Volatile` keeps promises on top of it. Reads come from any thread at any time; everything else is
called by one thread at a time.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import os
from pathlib import Path
from typing import Protocol

from harness.medium.files import copy_range, write_all, zero_range

Runs = list[tuple[int, int]]  # (first sector, count), in order


class Content(Protocol):
    """The current view, every accepted write applied; offsets and lengths in bytes."""

    size: int
    can_be_saved: bool  # whether the folder's files are all there is to it

    def read_into(self, buffer: memoryview | bytearray, offset: int) -> None:
        """Fill the buffer for the board."""

    def peek_into(self, buffer: memoryview | bytearray, offset: int) -> None:
        """Fill the buffer for the harness: the board has not read it."""

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Apply a write of whole sectors."""

    def zero(self, offset: int, length: int) -> None:
        """Apply zeros to whole sectors."""

    def keep(self, offset: int, length: int, undo: int, at: int) -> None:
        """Copy what a write is about to hide to the open file `undo`, for `roll_back`."""

    def roll_back(self, offset: int, length: int, undo: int, at: int) -> None:
        """As it was before that write; called for all unsettled writes, newest first."""

    def put(self, offset: int, length: int, log: int, at: int) -> None:
        """Apply a write again whose data is in the open file `log`."""

    def settle(self, offset: int, length: int) -> None:
        """What was written there is not rolled back any more."""

    def copy(self, offset: int, length: int, target: int) -> None:
        """Copy a range into an open file from its byte 0, sparse; the board has not read it."""

    def count_read(self, offset: int, length: int) -> None:
        """The board has read that range, by other means than `read_into`."""

    def read_set(self) -> Runs:
        """Sectors that the board has read before they were written; ValueError if not counted."""

    def close(self) -> None:
        """Give the files back."""


class FlatContent:
    """All of it in one file; knows nothing of read sets."""

    can_be_saved = True

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.size = os.fstat(self._file).st_size

    def read_into(self, buffer: memoryview | bytearray, offset: int) -> None:
        """See `Content`."""
        read_fully(self._file, buffer, offset)

    peek_into = read_into

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """See `Content`."""
        write_all(self._file, data, offset)

    def zero(self, offset: int, length: int) -> None:
        """See `Content`."""
        zero_range(self._file, offset, length)

    def keep(self, offset: int, length: int, undo: int, at: int) -> None:
        """See `Content`."""
        copy_range(self._file, offset, undo, at, length)

    def roll_back(self, offset: int, length: int, undo: int, at: int) -> None:
        """See `Content`."""
        copy_range(undo, at, self._file, offset, length)

    def put(self, offset: int, length: int, log: int, at: int) -> None:
        """See `Content`."""
        copy_range(log, at, self._file, offset, length)

    def settle(self, offset: int, length: int) -> None:
        """See `Content`."""

    def copy(self, offset: int, length: int, target: int) -> None:
        """See `Content`."""
        copy_range(self._file, offset, target, 0, length)

    def count_read(self, offset: int, length: int) -> None:
        """See `Content`."""

    def read_set(self) -> Runs:
        """See `Content`."""
        raise ValueError("reads are only counted on a crash state (load_state)")

    def close(self) -> None:
        """See `Content`."""
        os.close(self._file)


def read_fully(file: int, buffer: memoryview | bytearray, offset: int) -> None:
    """Fill the buffer; OSError when the file ends before that."""
    view = memoryview(buffer)
    while view:
        done = os.preadv(file, [view], offset)
        if done == 0:
            raise OSError(f"a file of the medium ends before byte {offset + len(view)}")
        view, offset = view[done:], offset + done
