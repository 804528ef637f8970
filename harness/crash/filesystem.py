"""The data partition's ext4 file system: where its journal lies, and what in its superblock is
bookkeeping that no boot depends on."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from harness import process
from harness.crash.contents import SECTOR
from harness.errors import ConfigurationError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """Geometry of an ext4 file system at `offset` bytes of a disk, `length` bytes long."""

    offset: int
    length: int
    block_size: int
    journal: tuple[int, ...]  # the journal's blocks, in order, as blocks of the file system

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


def find(image: Path, region: tuple[int, int]) -> FileSystem:
    """Ask e2fsprogs about the file system in a region (byte offset, length) of a disk image.

    ConfigurationError when there is no ext4 with a journal of its own.
    """
    offset, length = region
    device = f"{image}?offset={offset}"
    head = process.run(["dumpe2fs", "-h", device], timeout=60, check=False).stdout
    size = re.search(r"^Block size:\s+(\d+)", head, re.MULTILINE)
    text = process.run(["debugfs", "-R", "blocks <8>", device], timeout=60, check=False).stdout
    blocks = tuple(map(int, text.split()))
    if not size or not blocks:
        raise ConfigurationError(f"{image}: no ext4 file system with a journal at byte {offset}")
    return FileSystem(offset=offset, length=length, block_size=int(size[1]), journal=blocks)


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
