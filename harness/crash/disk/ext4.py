"""The data partition's ext4 file system: where its structures lie.

Asked of its superblock and of e2fsprogs (`dumpe2fs`, `debugfs`), once, of the disk image that was
flashed: mkfs decides where bitmaps, inode tables and the journal are, mounting never moves them.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crc32c import crc32c

from harness import process
from harness.crash.states.contents import SECTOR
from harness.errors import ConfigurationError

SUPERBLOCK = "superblock"  # parts of a group, as dumpe2fs names them
INODE_TABLE = "Inode table"
DESCRIPTORS = "Group descriptors"
_PART = re.compile(
    rf"({SUPERBLOCK}|{DESCRIPTORS}|Reserved GDT blocks|Block bitmap|Inode bitmap|{INODE_TABLE})"
    r" at (\d+)(?:-(\d+))?"
)
_SECONDS = 60.0

_SUPERBLOCK = 1024  # byte offset in the file system, and its size
# In the superblock: s_feature_incompat, s_feature_ro_compat, s_uuid, s_desc_size, s_checksum_seed
# (https://docs.kernel.org/filesystems/ext4/super.html).
_INCOMPAT, _RO_COMPAT, _UUID, _DESC_SIZE, _SEED = 0x60, 0x64, 0x68, 0xFE, 0x270
_64BIT, _EA_INODE, _CSUM_SEED, _METADATA_CSUM = 0x80, 0x400, 0x2000, 0x400


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """Geometry of an ext4 file system at `offset` bytes of a disk, `length` bytes long."""

    offset: int
    length: int
    block_size: int
    inode_size: int
    inodes_per_group: int
    descriptor_size: int  # bytes of a group descriptor
    checksums: bool  # inodes, descriptors and all other metadata have one
    counted_inodes: bool  # feature ea_inode: an inode's version may be a number of references
    seed: int  # of these checksums
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


def find(image: Path, region: tuple[int, int]) -> FileSystem:
    """Ask e2fsprogs about the file system in a region (byte offset, length) of a disk image.

    ConfigurationError when there is no ext4 with a journal of its own.
    """
    offset, length = region
    where = f"{image}?offset={offset}"  # libext2fs, unix_io.c: for the name of any device
    told = process.run(["dumpe2fs", where], timeout=_SECONDS, check=False).stdout
    text = process.run(["debugfs", "-R", "blocks <8>", where], timeout=_SECONDS, check=False).stdout
    journal = tuple(map(int, text.split()))  # <8> is its inode, always
    if not told or not journal:
        raise ConfigurationError(f"{image}: no ext4 file system with a journal at byte {offset}")
    with image.open("rb") as stream:
        stream.seek(offset + _SUPERBLOCK)
        superblock = stream.read(_SUPERBLOCK)
    return FileSystem(
        offset=offset,
        length=length,
        journal=journal,
        parts=tuple(
            (int(first), int(last or first), name) for name, first, last in _PART.findall(told)
        ),
        **_geometry(superblock),
    )


def _geometry(superblock: bytes) -> dict[str, Any]:
    inodes, block_size, inode_size = (
        struct.unpack_from(form, superblock, at)[0]
        for form, at in (("<I", 0x28), ("<I", 0x18), ("<H", 0x58))
    )
    incompatible, read_only = struct.unpack_from("<II", superblock, _INCOMPAT)
    wide = struct.unpack_from("<H", superblock, _DESC_SIZE)[0]
    seed = checksum(superblock[_UUID : _UUID + 16])
    if incompatible & _CSUM_SEED:
        (seed,) = struct.unpack_from("<I", superblock, _SEED)
    return {
        "block_size": 1024 << block_size,
        "inode_size": inode_size,
        "inodes_per_group": inodes,
        "descriptor_size": wide if incompatible & _64BIT else 32,
        "counted_inodes": bool(incompatible & _EA_INODE),
        "checksums": bool(read_only & _METADATA_CSUM),
        "seed": seed,
    }


def checksum(data: bytes, seed: int = 0xFFFFFFFF) -> int:
    """CRC-32C as ext4 and its journal use it: seeded, and without the final inversion."""
    return ~crc32c(data, ~seed & 0xFFFFFFFF) & 0xFFFFFFFF
