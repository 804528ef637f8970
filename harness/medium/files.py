"""Ranges of sparse files: copied with their holes, zeroed by punching holes.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

SECTOR = 512
_CHUNK = 1 << 20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # FALLOC_FL_*, see fallocate(2)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; raises OSError when the host's disk is full."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def zero_range(fd: int, offset: int, length: int) -> None:
    """Make [offset, offset + length) of an existing part of the file read as zeros."""
    if length == 0 or _libc.fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length) == 0:
        return
    code = ctypes.get_errno()
    if code != errno.EOPNOTSUPP:
        raise OSError(code, os.strerror(code))
    zeros = bytes(_CHUNK)
    for start in range(offset, offset + length, _CHUNK):
        write_all(fd, memoryview(zeros)[: min(_CHUNK, offset + length - start)], start)


def copy_range(source: int, start: int, target: int, to: int, length: int) -> None:
    """Copy a range between two open files; holes stay holes, longer files grow as needed."""
    if length <= _CHUNK:  # one read and one write are quicker than asking for holes
        write_all(target, os.pread(source, length, start).ljust(length, b"\0"), to)
        return
    size = max(os.fstat(target).st_size, to + length)
    zero_range(target, to, length)
    os.ftruncate(target, size)
    for at, count in _data(source, start, length):
        _copy_bytes(source, at, target, to + at - start, count)


def copy_file(source: Path, target: Path) -> None:
    """A sparse copy of a whole file; shares blocks where the host's file system can."""
    with source.open("rb") as reader, target.open("wb") as writer:
        length = os.fstat(reader.fileno()).st_size
        os.ftruncate(writer.fileno(), length)
        for at, count in _data(reader.fileno(), 0, length):
            _copy_bytes(reader.fileno(), at, writer.fileno(), at, count)


def write_sparse(target: IO[bytes], pieces: Iterable[bytes]) -> None:
    """Write pieces one after the other to the end of a new file; those of zeros become holes."""
    size = 0
    for piece in pieces:
        if piece.count(0) != len(piece):
            target.seek(size)
            target.write(piece)
        size += len(piece)
    target.truncate(size)


def _copy_bytes(source: int, start: int, target: int, to: int, length: int) -> None:
    while length:
        try:
            done = os.copy_file_range(source, target, length, start, to)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP):
                raise
            data = os.pread(source, min(length, _CHUNK), start)
            write_all(target, data, to)
            done = len(data)
        if done == 0:  # the source ended: what is missing reads as zeros
            return
        start, to, length = start + done, to + done, length - done


def _data(fd: int, start: int, length: int) -> Iterator[tuple[int, int]]:
    """The (offset, length) of all parts of a range that hold data."""
    at, end = start, start + length
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: nothing but a hole up to the end
                raise
            return
        if at >= end:
            return
        stop = min(os.lseek(fd, at, os.SEEK_HOLE), end)
        yield at, stop - at
        at = stop
