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
from typing import Any, BinaryIO, NamedTuple

from harness.medium.files import SECTOR
from harness.medium.model import Loss, Model

_FORMAT = b"harness-medium-log 1\n"
# magic, kind, flags, (2 unused), position, monotonic ns, wall ns, offset, length, payload bytes
_HEADER = struct.Struct("<4sBBHQQQQQQ")
_MAGIC = b"MREC"
_FUA = 1
_LINE = 1 << 16  # bytes of the second line: a path and a few words
_LARGEST = 1 << 48  # bytes of a disk
_WORDS = 1 << 26  # bytes of a mark or a cut, which lists each write that it lost


class RecordKind(IntEnum):
    """What was asked of the medium."""

    WRITE = 1
    ZERO = 2  # write zeroes
    TRIM = 3  # discard; the medium then reads as zeros
    FLUSH = 4
    MARK = 5  # a name that the harness gave to this instant
    CUT = 6  # the power was lost; the payload says what became of unflushed writes


CHANGES = frozenset({RecordKind.WRITE, RecordKind.ZERO, RecordKind.TRIM})
HEADER = _HEADER.size  # bytes that each record has at least


class LogError(ValueError):
    """A file that is no write log, or is damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the content began: the flashed image and the model of the medium."""

    model: str
    size: int  # bytes
    base: str  # path of the image that was flashed
    base_sha256: str = ""  # where the caller knew it


class LogRecord(NamedTuple):
    """One record; `payload_at` is where its payload starts in the log file, in bytes.

    A named tuple, because every write makes one and unflushed ones stay in memory.
    """

    position: int
    kind: RecordKind
    fua: bool
    monotonic_ns: int
    wall_ns: int
    offset: int
    length: int
    payload_at: int
    payload_length: int


class Fate(NamedTuple):
    """Log positions of the writes that a cut took, and of one torn: (position, sectors kept).
    `window`: how many answered writes were in a card's cache, and could be lost."""

    lost: frozenset[int]
    torn: tuple[int, int] | None
    window: int


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
        kind: RecordKind,
        *,
        offset: int = 0,
        length: int = 0,
        fua: bool = False,
        payload: bytes | memoryview = b"",
    ) -> LogRecord:
        """Write one record. Raises OSError when the host's disk is full; the log stays whole."""
        record = LogRecord(
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

    Raises LogError, also while reading on, when the file is not what a medium writes.
    """

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open("rb")
        try:
            if self._stream.readline(_LINE) != _FORMAT:
                raise LogError(f"{path} is not a write log of this version")
            self.origin = _origin(path, self._stream.readline(_LINE))
        except LogError:
            self._stream.close()
            raise
        self.start = self._stream.tell()

    def __enter__(self) -> "LogReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def records(self) -> Iterator[LogRecord]:
        """All whole records in order; payloads are skipped (`payload` reads one)."""
        at, number = self.start, 0
        size = os.fstat(self._stream.fileno()).st_size
        while at + _HEADER.size <= size:
            header = os.pread(self._stream.fileno(), _HEADER.size, at)
            magic, kind, flags, unused, position, mono, wall, offset, length, count = (
                _HEADER.unpack(header)
            )
            if (magic, position) != (_MAGIC, number) or flags | _FUA != _FUA or unused:
                raise LogError(f"{self._stream.name}: no record {number} at byte {at}")
            if problem := self._problem(kind, offset, length, count):
                raise LogError(f"{self._stream.name}: record {number} at byte {at}: {problem}")
            payload_at = at + _HEADER.size
            if payload_at + count > size:
                return
            yield LogRecord(
                position=position,
                kind=RecordKind(kind),
                fua=bool(flags & _FUA),
                monotonic_ns=mono,
                wall_ns=wall,
                offset=offset,
                length=length,
                payload_at=payload_at,
                payload_length=count,
            )
            at, number = payload_at + count, number + 1

    def _problem(self, kind: int, offset: int, length: int, count: int) -> str:
        """What no medium of this size would have written; nothing when all is well."""
        if kind in CHANGES:
            if offset % SECTOR or length % SECTOR or not length:
                return f"{length} bytes at {offset} are not whole sectors"
            if offset + length > self.origin.size:
                return f"{length} bytes at {offset} are not on a disk of {self.origin.size}"
            wanted = length if kind == RecordKind.WRITE else 0
            return "" if count == wanted else f"{count} bytes of data, not {wanted}"
        if kind not in (RecordKind.FLUSH, RecordKind.MARK, RecordKind.CUT):
            return f"kind {kind} is not known"
        if offset or length or count > (0 if kind == RecordKind.FLUSH else _WORDS):
            name = RecordKind(kind).name.lower()
            return f"{name} of {length} bytes at {offset} with {count} of data"
        return ""

    def payload(self, record: LogRecord) -> bytes:
        """Data of a write, text of a mark (UTF-8), JSON of a cut; empty for the others."""
        return os.pread(self._stream.fileno(), record.payload_length, record.payload_at)

    def text(self, record: LogRecord) -> str:
        """The name that a mark gives to its instant."""
        try:
            return self.payload(record).decode()
        except UnicodeDecodeError as error:
            raise LogError(f"{self._stream.name}: mark {record.position}: {error}") from error

    def fate(self, record: LogRecord) -> Fate:
        """What a power cut in the log took."""
        try:
            told = _json(self.payload(record))
            lost, torn = frozenset(told["lost"]), told.get("torn")
            numbers = [*lost, *(torn or ())]
            window = Loss.parse(told["loss"]).window
            if not all(type(n) is int and n >= 0 for n in numbers) or len(torn or "ok") != 2:
                raise TypeError("not two lists of positions")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LogError(f"{self._stream.name}: cut {record.position}: {error}") from error
        return Fate(lost, (torn[0], torn[1]) if torn else None, window)


def _origin(path: Path, line: bytes) -> Origin:
    try:
        found = Origin(**_json(line))
        Model(found.model)
        texts = (found.base, found.base_sha256)
        if type(found.size) is not int or not all(isinstance(text, str) for text in texts):
            raise TypeError("a key of another kind")
        if not 0 < found.size < _LARGEST or found.size % SECTOR:
            raise ValueError(f"a disk of {found.size} bytes")
    except (ValueError, TypeError) as error:
        raise LogError(f"{path}: second line: {error}") from error
    return found


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def create_log(path: Path, origin: Origin) -> None:
    """Begin an empty log, in place of any that was there."""
    path.write_bytes(_FORMAT + json.dumps(asdict(origin)).encode() + b"\n")


def join(first: Path, count: int, second: Path, target: Path) -> None:
    """Write to `target` the first `count` records of a log, and behind them all of another one,
    which began with what they had left. Its positions go on, and its monotonic time does. LogError
    when the logs are not of one kind of medium, or the first is shorter."""
    with LogReader(first) as before, LogReader(second) as after, target.open("wb") as stream:
        mine, its = before.origin, after.origin
        if (mine.model, mine.size) != (its.model, its.size):
            raise LogError(f"{second} is of a {its.model} of {its.size}, {first} of a {mine.model}")
        stream.write(_FORMAT + json.dumps(asdict(mine)).encode() + b"\n")
        last = None
        for record in before.records():
            if record.position == count:
                break
            stream.write(_packed(record) + before.payload(record))
            last = record
        if last is None or last.position + 1 != count:
            raise LogError(f"{first} has no {count} records")
        gap: int | None = None
        for record in after.records():
            gap = last.monotonic_ns - record.monotonic_ns if gap is None else gap
            payload = _shifted(after, record, count)
            moved = record._replace(
                position=record.position + count,
                monotonic_ns=record.monotonic_ns + gap,
                payload_length=len(payload),
            )
            stream.write(_packed(moved) + payload)


def _shifted(log: LogReader, record: LogRecord, count: int) -> bytes:
    """The payload of a record, when so many come before its log: a cut names positions."""
    payload = log.payload(record)
    if record.kind is not RecordKind.CUT:
        return payload
    lost, torn, _ = log.fate(record)
    told = _json(payload)
    told |= {
        "lost": sorted(position + count for position in lost),
        "position": record.position + count,
    }
    told["kept"] = [position + count for position in told.get("kept", ())]
    if torn:
        told["torn"] = [torn[0] + count, torn[1]]
    return json.dumps(told).encode()


def _packed(record: LogRecord) -> bytes:
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
