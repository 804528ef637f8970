"""The data partition's ext4 file system: where its structures lie, and what in its superblock and
its inodes is bookkeeping that no boot depends on.

Asked of e2fsprogs (`dumpe2fs`, `debugfs`), once, of the disk image that was flashed: mkfs decides
where bitmaps, inode tables and the journal are, and mounting never moves them.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import process
from harness.crash.contents import SECTOR
from harness.errors import ConfigurationError

SUPERBLOCK = "superblock"  # parts of a group, as dumpe2fs names them
INODE_TABLE = "Inode table"
_PART = re.compile(
    rf"({SUPERBLOCK}|Group descriptors|Reserved GDT blocks|Block bitmap|Inode bitmap|{INODE_TABLE})"
    r" at (\d+)(?:-(\d+))?"
)
_SECONDS = 60.0

_SUPERBLOCK = 1024  # byte offset in the file system, and its size
_INCOMPAT, _RECOVER = 0x60, 0x4  # s_feature_incompat: the journal needs recovery

# Offset and length in the superblock of what differs from mount to mount without any consequence:
# https://docs.kernel.org/filesystems/ext4/super.html. The counters of free blocks and inodes are
# computed anew at each mount.
_BOOKKEEPING = (
    (0x0C, 8),  # s_free_blocks_count_lo, s_free_inodes_count
    (0x2C, 8),  # s_mtime, s_wtime
    (0x34, 2),  # s_mnt_count: -1 is the limit, so it never causes a check
    (0x88, 64),  # s_last_mounted
    (0x158, 4),  # s_free_blocks_count_hi
    (0x178, 8),  # s_kbytes_written
    (0x274, 2),  # s_wtime_hi, s_mtime_hi
    (0x3FC, 4),  # s_checksum
)
# The same of an inode: https://docs.kernel.org/filesystems/ext4/inodes.html. Not i_dtime, which
# links orphans.
_INODE_BOOKKEEPING = (
    (0x08, 12),  # i_atime, i_ctime, i_mtime
    (0x24, 4),  # l_i_version
    (0x7C, 2),  # l_i_checksum_lo
    (0x82, 2),  # i_checksum_hi
    (
        0x84,
        24,
    ),  # i_ctime_extra, i_mtime_extra, i_atime_extra, i_crtime, i_crtime_extra, i_version_hi
)
_INODE_SIZE = 256  # bytes; inodes of another size count with all that is in them


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """Geometry of an ext4 file system at `offset` bytes of a disk, `length` bytes long."""

    offset: int
    length: int
    block_size: int
    inode_size: int
    journal: tuple[int, ...]  # the journal's blocks, in order, as blocks of the file system
    parts: tuple[
        tuple[int, int, str], ...
    ]  # first and last block, dumpe2fs's name of what is there

    @property
    def sectors_per_block(self) -> int:
        """512-byte sectors of one block."""
        return self.block_size // SECTOR

    def sector(self, block: int) -> int:
        """First sector on the disk of a block."""
        return self.offset // SECTOR + block * self.sectors_per_block

    @property
    def superblock(self) -> int:
        """First of the superblock's two sectors on the disk."""
        return (self.offset + _SUPERBLOCK) // SECTOR

    def inode_tables(self) -> Iterator[tuple[int, int]]:
        """(first sector on the disk, sectors) of each inode table whose inodes have bookkeeping."""
        if self.inode_size != _INODE_SIZE:
            return
        for first, last, name in self.parts:
            if name == INODE_TABLE:
                yield self.sector(first), (last - first + 1) * self.sectors_per_block


def find(image: Path, region: tuple[int, int]) -> FileSystem:
    """Ask e2fsprogs about the file system in a region (byte offset, length) of a disk image.

    ConfigurationError when there is no ext4 with a journal of its own.
    """
    offset, length = region
    where = f"{image}?offset={offset}"  # libext2fs, unix_io.c: for the name of any device
    told = process.run(["dumpe2fs", where], timeout=_SECONDS, check=False).stdout
    block, inode = (
        re.search(rf"^{name} size:\s+(\d+)$", told, re.MULTILINE) for name in ("Block", "Inode")
    )
    text = process.run(["debugfs", "-R", "blocks <8>", where], timeout=_SECONDS, check=False).stdout
    journal = tuple(map(int, text.split()))  # <8> is its inode, always
    if not block or not inode or not journal:
        raise ConfigurationError(f"{image}: no ext4 file system with a journal at byte {offset}")
    return FileSystem(
        offset=offset,
        length=length,
        block_size=int(block[1]),
        inode_size=int(inode[1]),
        journal=journal,
        parts=tuple(
            (int(first), int(last or first), name) for name, first, last in _PART.findall(told)
        ),
    )


def needs_recovery(superblock: bytes) -> bool:
    """Whether the superblock says that the journal is to be replayed."""
    return bool(struct.unpack_from("<I", superblock, _INCOMPAT)[0] & _RECOVER)


def without_bookkeeping(superblock: bytes) -> bytes:
    """The superblock's 1024 bytes with all that is zeroed that no boot depends on."""
    plain = bytearray(superblock)
    for offset, length in _BOOKKEEPING:
        plain[offset : offset + length] = bytes(length)
    incompat = struct.unpack_from("<I", plain, _INCOMPAT)[0]
    struct.pack_into("<I", plain, _INCOMPAT, incompat & ~_RECOVER)
    return bytes(plain)


def inodes_without_bookkeeping(sector: bytes) -> bytes:
    """A sector of an inode table (`FileSystem.inode_tables`) without what no boot depends on."""
    plain = bytearray(sector)
    for inode in range(0, len(plain), _INODE_SIZE):
        for offset, length in _INODE_BOOKKEEPING:
            plain[inode + offset : inode + offset + length] = bytes(length)
    return bytes(plain)
