"""The content of a crash state: extents over existing files, and a copy of what is written.

Three flags a sector, in one byte each: *written* (it is read from `content.img`, not from the
extents), *settled* (written, and no power cut takes that back), *read* (the board has read it
when it was not written). Runs of equal flags are found by `bytearray.find`, never by a loop.

A write stores its data before it raises the flag, so that a read at the same time sees the old
sector or the new one.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from harness.boards.qemu.nbd.content import Runs, read_fully
from harness.medium.extents import ZEROS, Extents
from harness.medium.files import SECTOR, copy_range, write_all, zero_range

_RUN = re.compile(rb"\x01+")


class StateContent:
    """`content.Content` of a state file; `written` is a new, sparse file."""

    can_be_saved = False

    def __init__(self, extents: Extents, written: Path) -> None:
        self.size = extents.size
        self._extents = extents
        self._file = os.open(written, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        os.ftruncate(self._file, self.size)
        sectors = self.size // SECTOR
        self._written, self._settled = bytearray(sectors), bytearray(sectors)
        self._read = bytearray(sectors)

    def read_into(self, buffer: memoryview | bytearray, offset: int) -> None:
        """See `Content`."""
        view = memoryview(buffer)
        for start, length, file, place in self._pieces(offset, len(view)):
            if file != self._file:
                _raise(self._read, start, length)
            _read_piece(file, view[start - offset : start - offset + length], place)

    def peek_into(self, buffer: memoryview | bytearray, offset: int) -> None:
        """See `Content`."""
        view = memoryview(buffer)
        for start, length, file, place in self._pieces(offset, len(view)):
            _read_piece(file, view[start - offset : start - offset + length], place)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """See `Content`."""
        write_all(self._file, data, offset)
        _raise(self._written, offset, len(data))

    def zero(self, offset: int, length: int) -> None:
        """See `Content`."""
        zero_range(self._file, offset, length)
        _raise(self._written, offset, length)

    def keep(self, offset: int, length: int, undo: int, at: int) -> None:
        """See `Content`. What was never written need not be kept: its flags say where it is."""
        for start, count, file, place in self._pieces(offset, length):
            if file == self._file:
                copy_range(file, place, undo, at + start - offset, count)

    def roll_back(self, offset: int, length: int, undo: int, at: int) -> None:
        """See `Content`."""
        copy_range(undo, at, self._file, offset, length)
        first, end = _sectors(offset, length)
        self._written[first:end] = self._settled[first:end]

    def put(self, offset: int, length: int, log: int, at: int) -> None:
        """See `Content`."""
        copy_range(log, at, self._file, offset, length)
        _raise(self._written, offset, length)

    def settle(self, offset: int, length: int) -> None:
        """See `Content`."""
        _raise(self._settled, offset, length)

    def copy(self, offset: int, length: int, target: int) -> None:
        """See `Content`."""
        os.ftruncate(target, length)
        for start, count, file, place in self._pieces(offset, length):
            if file != ZEROS:
                copy_range(file, place, target, start - offset, count)

    def count_read(self, offset: int, length: int) -> None:
        """See `Content`."""
        for start, count, file, _ in self._pieces(offset, length):
            if file != self._file:
                _raise(self._read, start, count)

    def read_set(self) -> Runs:
        """See `Content`."""
        return [(run.start(), run.end() - run.start()) for run in _RUN.finditer(self._read)]

    def close(self) -> None:
        """See `Content`."""
        self._extents.close()
        os.close(self._file)

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
        """(offset, length, open file or ZEROS, byte in it) of a range, in order."""
        at, end = offset, offset + length
        last = -(-end // SECTOR)
        while at < end:
            sector = at // SECTOR
            if self._written[sector]:
                file, place = self._file, at
                stop = self._written.find(0, sector, last)
            else:
                file, place, limit = self._extents.locate(sector)
                place += at % SECTOR
                limit = min(limit, last)
                stop = self._written.find(1, sector, limit)
                stop = limit if stop < 0 else stop
            until = end if stop < 0 else min(end, stop * SECTOR)
            yield at, until - at, file, place
            at = until


def _read_piece(file: int, view: memoryview, place: int) -> None:
    if file == ZEROS:
        view[:] = bytes(len(view))
    else:
        read_fully(file, view, place)


def _raise(flags: bytearray, offset: int, length: int) -> None:
    first, end = _sectors(offset, length)
    flags[first:end] = b"\1" * (end - first)


def _sectors(offset: int, length: int) -> tuple[int, int]:
    """The first sector that a range touches, and the first one after it."""
    return offset // SECTOR, -(-(offset + length) // SECTOR)
