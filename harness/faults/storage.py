"""Storage faults as data: what the medium lost by itself, while nobody looked, and how it fails."""

import random
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from harness.boards.capability import Capabilities
from harness.errors import ConfigurationError
from harness.faults.power import CutPhase, phase_of, printed
from harness.medium.model import Failing, Misdeed

_SUPERBLOCK = 1024  # bytes, at that offset of the file system; its checksum is in the second half
_WRITE_TIME = 0x30  # s_wtime: https://docs.kernel.org/filesystems/ext4/super.html


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFault:
    """The last `length` bytes of something on the medium are zeros; prints as `zero-tail:32768`.

    Reported from a fleet: 0.002 % of its devices had a U-Boot environment whose last 32 KiB were
    zero.
    """

    length: int

    def __str__(self) -> str:
        return f"zero-tail:{self.length}"

    @classmethod
    def parse(cls, text: str) -> "StorageFault":
        """Read the printed form back; raises ValueError."""
        kind, _, length = text.partition(":")
        if kind != "zero-tail" or int(length) <= 0:
            raise ValueError(f"{text!r} is not a storage fault: zero-tail:BYTES")
        return cls(length=int(length))

    def within(self, offset: int, length: int) -> tuple[int, int]:
        """Offset and length of what it zeroes in a range of the medium; all of a short one."""
        lost = min(self.length, length)
        return offset + length - lost, lost


_MOST_SECONDS = 600  # of a slow request: longer than any driver waits
WHOLE = "medium"  # instead of a region: all of it
_FAILS = re.compile(r"([a-z-]+)(?::(\d{1,4}(?:\.\d{1,3})?)s)?@([A-Za-z0-9-]+)(?:/(.+))?")
_SELECTION = "boot-selection"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumFault:
    """The medium fails from now on, or from a phase of the update on; prints as `eio-write@slot-B`,
    `slow:0.5s@data`, `eio-write@medium/write:50%`."""

    what: Misdeed
    where: str  # a region of the release's layout, or WHOLE
    seconds: float = 0.0  # of a slow one, for each request
    since: CutPhase | None = None  # where a power cut would strike; None: from now on
    number: int = 0  # of the write, in a phase that `is_counted`

    def __str__(self) -> str:
        what = f"{self.what}{f':{self.seconds:g}s' if self.seconds else ''}@{self.where}"
        return f"{what}/{printed(self.since, self.number)}" if self.since else what

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be stored any more that a bootloader counts by, nor a version be
        selected: errors, or a medium that keeps nothing and does not say so."""
        stuck = self.what in (Misdeed.WRITE_ERROR, Misdeed.FORGOTTEN_WRITE)
        return stuck and self.where in (WHOLE, _SELECTION)

    @property
    def lets_it_boot(self) -> bool:
        """Whether a device can be asked to come up meanwhile: it reads, and in its time."""
        return self.what not in (Misdeed.READ_ERROR, Misdeed.SLOW)

    @classmethod
    def parse(cls, text: str) -> "MediumFault":
        """Read the printed form back; raises ValueError."""
        match = _FAILS.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not a fault of a medium: KIND@REGION or slow:SECONDSs@REGION, "
                "and /PHASE behind it"
            )
        if match[1] not in list(Misdeed):
            raise ValueError(f"{text!r} is not a fault of a medium: one of {', '.join(Misdeed)}")
        what, seconds, where = Misdeed(match[1]), float(match[2] or 0), match[3]
        if (what is Misdeed.SLOW) != (seconds > 0):
            raise ValueError(f"{text!r}: slow, and nothing else, has seconds")
        if seconds > _MOST_SECONDS:
            raise ValueError(f"{text!r}: at most {_MOST_SECONDS}s for a request")
        if what is Misdeed.FORGOTTEN_FLUSH and where != WHOLE:
            raise ValueError(f"{text!r}: a flush is of the whole medium: {what}@{WHOLE}")
        since, number = phase_of(match[4]) if match[4] else (None, 0)
        return cls(what=what, where=where, seconds=seconds, since=since, number=number)

    def failing(self, layout: Mapping[str, tuple[int, int]]) -> Failing:
        """As a board's medium takes it; `layout` is the release's. Raises ConfigurationError."""
        if self.where != WHOLE and self.where not in layout:
            known = ", ".join((WHOLE, *layout))
            raise ConfigurationError(f"{self}: there is no {self.where}", hint=f"there is {known}")
        offset, length = (0, 0) if self.where == WHOLE else layout[self.where]
        return Failing(what=self.what, offset=offset, length=length, seconds=self.seconds)


class Geometry(Protocol):
    """Where things lie in the data partition's file system: `harness.crash.disk.ext4`."""

    @property
    def offset(self) -> int:
        """Byte of the disk that it begins at."""

    @property
    def block_size(self) -> int:
        """In bytes."""

    @property
    def journal(self) -> tuple[int, ...]:
        """The journal's blocks, in order."""

    @property
    def parts(self) -> tuple[tuple[int, int, str], ...]:
        """First and last block, dumpe2fs's name of what is there."""


class How(StrEnum):
    """What has become of a block."""

    TORN = "torn"  # its first sector is newer than the rest; only of the superblock
    DESTROYED = "destroyed"  # it holds something else
    UNREADABLE = "unreadable"  # reading it fails until it is written


class Where(StrEnum):
    """A block of the data partition's file system, and what dumpe2fs calls the part it begins."""

    SUPERBLOCK = "superblock"
    DESCRIPTORS = "group-descriptors"
    BLOCK_BITMAP = "block-bitmap"
    INODE_BITMAP = "inode-bitmap"
    INODE_TABLE = "inode-table"  # its first block: root folder, journal, first folders
    JOURNAL = "journal"  # its superblock

    def block(self, system: Geometry) -> int:
        """Which block of the file system it is."""
        if self is Where.JOURNAL:
            return system.journal[0]
        name = self.replace("-", " ")
        return min(first for first, _, part in system.parts if part.lower() == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFault:
    """One block of the data partition is not what was written; prints as `unreadable:journal`."""

    how: How
    where: Where

    def __str__(self) -> str:
        return f"{self.how}:{self.where}"

    @classmethod
    def parse(cls, text: str) -> "DataFault":
        """Read the printed form back; raises ValueError."""
        how, _, where = text.partition(":")
        fault = cls(how=How(how), where=Where(where))
        if fault.how is How.TORN and fault.where is not Where.SUPERBLOCK:
            raise ValueError(f"{text!r}: only a superblock is torn")
        return fault

    def strike(self, can: Capabilities, system: Geometry) -> None:
        """Do it to the medium of a board that is off; `system` is its data partition's."""
        offset = system.offset + self.where.block(system) * system.block_size
        match self.how:
            case How.UNREADABLE:
                can.medium_write.harm(offset, system.block_size)
            case How.DESTROYED:
                noise = random.Random(str(self)).randbytes(system.block_size)  # noqa: S311
                can.medium_write.overwrite(offset, noise)
            case How.TORN:
                place = offset + _SUPERBLOCK
                can.medium_write.overwrite(place, _newer(can.medium_read.read(place, _SUPERBLOCK)))


def _newer(superblock: bytes) -> bytes:
    """What a superblock was before the second sector of a later write reached the medium."""
    if superblock[56:58] != b"\x53\xef":
        raise ConfigurationError("the medium has no ext4 superblock to tear")
    (written,) = struct.unpack_from("<I", superblock, _WRITE_TIME)
    newer = bytearray(superblock)
    struct.pack_into("<I", newer, _WRITE_TIME, written + 1)
    return bytes(newer)
