"""The write log: everything that was asked of the medium, in order, with data and time.

Base image + log = the medium's content at any log position (`replay`). The file is append-only:
a first line with the format, a second line of JSON (`Origin`), then records: a fixed header and
its payload (data of a write, text of a mark, JSON of a cut). A record's *position* is its number,
from 0. A record cut short at the end of the file (the server was killed) is not read.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import errno
import json
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple

_FORMAT = b"harness-medium-log 1\n"
# magic, kind, flags, (2 unused), position, monotonic ns, wall ns, offset, length, payload bytes
_HEADER = struct.Struct("<4sBBHQQQQQQ")
_MAGIC = b"MREC"
_FUA = 1


class Kind(IntEnum):
    """What was asked of the medium."""

    WRITE = 1
    ZERO = 2  # write zeroes
    TRIM = 3  # discard; the medium then reads as zeros
    FLUSH = 4
    MARK = 5  # a name that the harness gave to this instant
    CUT = 6  # the power was lost; the payload says what became of unflushed writes


CHANGES = frozenset({Kind.WRITE, Kind.ZERO, Kind.TRIM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the content began: the flashed image and the model of the medium."""

    model: str
    size: int  # bytes
    base: str  # path of the image that was flashed
    base_sha256: str = ""  # where the caller knew it


class Record(NamedTuple):
    """One record; `payload_at` is where its payload starts in the log file, in bytes.

    A named tuple, because every write makes one and unflushed ones stay in memory.
    """

    position: int
    kind: Kind
    fua: bool
    monotonic_ns: int
    wall_ns: int
    offset: int
    length: int
    payload_at: int
    payload_length: int


class LogWriter:
    """Appends to a log that exists; one writer at a time, locked by the store."""

    def __init__(self, path: Path) -> None:
        self.position = 0
        self.end = 0
        with LogReader(path) as reader:
            self.end = reader.start
            for record in reader.records():
                self.position = record.position + 1
                self.end = record.payload_at + record.payload_length
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(self.fd, self.end)

    def append(
        self,
        kind: Kind,
        *,
        offset: int = 0,
        length: int = 0,
        fua: bool = False,
        payload: bytes | memoryview = b"",
    ) -> Record:
        """Write one record. Raises OSError when the host's disk is full; the log stays whole."""
        record = Record(
            position=self.position,
            kind=kind,
            fua=fua,
            monotonic_ns=time.monotonic_ns(),
            wall_ns=time.time_ns(),
            offset=offset,
            length=length,
            payload_at=self.end + _HEADER.size,
            payload_length=len(payload),
        )
        header = _packed(record)
        total = len(header) + len(payload)
        if os.pwritev(self.fd, [header, payload], self.end) != total:
            os.ftruncate(self.fd, self.end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.position += 1
        self.end += total
        return record

    def close(self) -> None:
        """Give the file back."""
        os.close(self.fd)


class LogReader:
    """Reads a log, also while it grows: `with LogReader(path) as log: for record in log.records()`.

    Raises ValueError when the file is not a write log.
    """

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open("rb")
        if self._stream.readline() != _FORMAT:
            self._stream.close()
            raise ValueError(f"{path} is not a write log of this version")
        self.origin = Origin(**json.loads(self._stream.readline()))
        self.start = self._stream.tell()

    def __enter__(self) -> "LogReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def records(self) -> Iterator[Record]:
        """All whole records in order; payloads are skipped (`payload` reads one)."""
        at = self.start
        size = os.fstat(self._stream.fileno()).st_size
        while at + _HEADER.size <= size:
            header = os.pread(self._stream.fileno(), _HEADER.size, at)
            magic, kind, flags, _, position, mono, wall, offset, length, count = _HEADER.unpack(
                header
            )
            if magic != _MAGIC:
                raise ValueError(f"{self._stream.name}: no record at byte {at}")
            payload_at = at + _HEADER.size
            if payload_at + count > size:
                return
            yield Record(
                position=position,
                kind=Kind(kind),
                fua=bool(flags & _FUA),
                monotonic_ns=mono,
                wall_ns=wall,
                offset=offset,
                length=length,
                payload_at=payload_at,
                payload_length=count,
            )
            at = payload_at + count

    def payload(self, record: Record) -> bytes:
        """Data of a write, text of a mark (UTF-8), JSON of a cut; empty for the others."""
        return os.pread(self._stream.fileno(), record.payload_length, record.payload_at)


def create_log(path: Path, origin: Origin) -> None:
    """Begin an empty log, in place of any that was there."""
    path.write_bytes(_FORMAT + json.dumps(asdict(origin)).encode() + b"\n")


def _packed(record: Record) -> bytes:
    return _HEADER.pack(
        _MAGIC,
        record.kind,
        _FUA if record.fua else 0,
        0,
        record.position,
        record.monotonic_ns,
        record.wall_ns,
        record.offset,
        record.length,
        record.payload_length,
    )
