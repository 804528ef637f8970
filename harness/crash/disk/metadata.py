"""What of an ext4 file system's metadata its readers accept, and what of that decides no boot.

Two crash states are not told apart by what is bookkeeping: when a file system was mounted, when a
file was changed, and the checksums over that. But bookkeeping is left out only of a structure that
its readers accept. Of one that they refuse every byte counts: e2fsck, which finds a superblock with
a wrong checksum, ends with code 8 and reads no journal; a kernel that finds an inode with a wrong
checksum answers EBADMSG. docs/crash.md lists each rule with the program that reads the field.

Formats: https://docs.kernel.org/filesystems/ext4/, Linux fs/ext4/{super,inode}.c; the checksums are
CRC-32C, seeded with that of the file system's UUID.
"""

import struct
from collections.abc import Iterator, Sequence

from harness.crash.disk.ext4 import DESCRIPTORS, INODE_TABLE, FileSystem, checksum

_MAGIC = 0xEF53
_CRC32C = 1  # s_checksum_type
_STATE_OF_MOUNT, _RECOVER = 0x60, 0x4  # s_feature_incompat: the journal needs recovery
_METADATA_CSUM = 0x400  # s_feature_ro_compat

# Offset and length in the superblock of what differs from mount to mount without any consequence.
# The counters of free blocks and inodes are computed anew at each mount. The mount count is one of
# them as long as no number of mounts causes a check (`plain_superblock`).
_OF_SUPERBLOCK = (
    (0x0C, 8),  # s_free_blocks_count_lo, s_free_inodes_count
    (0x2C, 8),  # s_mtime, s_wtime
    (0x88, 64),  # s_last_mounted
    (0x158, 4),  # s_free_blocks_count_hi
    (0x178, 8),  # s_kbytes_written
    (0x274, 2),  # s_wtime_hi, s_mtime_hi
    (0x3FC, 4),  # s_checksum
)
_MOUNTS, _MOST_MOUNTS = 0x34, 0x36  # s_mnt_count, s_max_mnt_count (0 or less: no limit)
# The same of an inode. Not i_dtime, which links orphans. What lies behind byte 128 is there as far
# as i_extra_isize says; behind that are extended attributes.
_OF_INODE = (
    (0x08, 12),  # i_atime, i_ctime, i_mtime
    (0x24, 4),  # l_i_version
    (0x7C, 2),  # l_i_checksum_lo
    (0x82, 2),  # i_checksum_hi
    # i_ctime_extra, i_mtime_extra, i_atime_extra, i_crtime, i_crtime_extra, i_version_hi
    *((place, 4) for place in range(0x84, 0x9C, 4)),
)
_INODE = 256  # bytes; inodes of another size count with all that is in them
_SUM_LOW, _SUM_HIGH, _EXTRA = 0x7C, 0x82, 0x80  # in an inode: checksum, i_extra_isize
_DESCRIPTOR_SUM = 0x1E  # bg_checksum, in a group descriptor


def needs_recovery(superblock: bytes) -> bool:
    """Whether the superblock says that the journal is to be replayed."""
    return bool(struct.unpack_from("<I", superblock, _STATE_OF_MOUNT)[0] & _RECOVER)


def superblock_accepted(superblock: bytes) -> bool:
    """Whether e2fsck and kernels take these 1024 bytes for a superblock; else they look no further:
    they neither replay the journal nor mount."""
    (magic,) = struct.unpack_from("<H", superblock, 0x38)
    (features,) = struct.unpack_from("<I", superblock, 0x64)
    if magic != _MAGIC:
        return False
    if not features & _METADATA_CSUM:
        return True
    (stored,) = struct.unpack_from("<I", superblock, 0x3FC)
    return superblock[0x175] == _CRC32C and bool(stored == checksum(superblock[:0x3FC]))


def plain_superblock(superblock: bytes) -> bytes:
    """The superblock's 1024 bytes with all that is zeroed that no boot depends on; all of it, when
    it is not accepted."""
    if not superblock_accepted(superblock):
        return superblock
    plain = bytearray(superblock)
    _zero(plain, 0, _OF_SUPERBLOCK)
    if struct.unpack_from("<h", plain, _MOST_MOUNTS)[0] <= 0:
        _zero(plain, 0, ((_MOUNTS, 2),))
    incompatible = struct.unpack_from("<I", plain, _STATE_OF_MOUNT)[0]
    struct.pack_into("<I", plain, _STATE_OF_MOUNT, incompatible & ~_RECOVER)
    return bytes(plain)


class Metadata:
    """The inodes and group descriptors of one file system, by the sector of the disk."""

    def __init__(self, system: FileSystem) -> None:
        self._system = system
        self.inodes: dict[int, int] = {}  # sector of an inode table -> number of its first inode
        self.groups: dict[int, int] = {}  # sector of the descriptors in use -> its first group
        self._find()

    def _find(self) -> None:
        system = self._system
        tables = [first for first, _, name in system.parts if name == INODE_TABLE]
        sectors = system.inodes_per_group * system.inode_size // 512
        for group, block in enumerate(tables):
            first = group * system.inodes_per_group + 1
            if system.inode_size == _INODE and not system.counted_inodes:
                for index in range(sectors):
                    self.inodes[system.sector(block) + index] = first + index * (512 // _INODE)
        descriptors = [first for first, _, name in system.parts if name == DESCRIPTORS]
        for first in range(0, len(tables), 512 // system.descriptor_size):
            at = first * system.descriptor_size // 512
            self.groups[system.sector(descriptors[0]) + at] = first

    def plain_inodes(self, sector: int, data: bytes) -> bytes:
        """A sector of an inode table without what no boot depends on, where that is accepted."""
        if sector not in self.inodes:
            return data
        plain = bytearray(data)
        for at, number in self._inodes(sector):
            if self._inode_accepted(number, data[at : at + _INODE]):
                end = 0x80 + struct.unpack_from("<H", data, at + _EXTRA)[0]
                _zero(plain, at, [each for each in _OF_INODE if sum(each) <= max(end, 0x80)])
        return bytes(plain)

    def accepted(self, sector: int, data: bytes) -> bool:
        """Whether all that lies in a sector of an inode table, or of the group descriptors in use,
        is what its checksum says, or was never used; other sectors are not judged: yes."""
        if sector in self.inodes:
            return all(
                self._inode_accepted(number, data[at : at + _INODE])
                for at, number in self._inodes(sector)
            )
        if sector in self.groups:
            size = self._system.descriptor_size
            return all(
                self._descriptor_accepted(self.groups[sector] + index, data[at : at + size])
                for index, at in enumerate(range(0, 512, size))
            )
        return True

    def _inodes(self, sector: int) -> Iterator[tuple[int, int]]:
        """(byte offset in the sector, number) of each inode in it."""
        return ((at, self.inodes[sector] + at // _INODE) for at in range(0, 512, _INODE))

    def _inode_accepted(self, number: int, inode: bytes) -> bool:
        """Linux, ext4_inode_csum_verify; libext2fs takes one of zeros for one that is not used."""
        if not self._system.checksums or not any(inode):
            return True
        plain = bytearray(inode)
        high = struct.unpack_from("<H", inode, _EXTRA)[0] >= _SUM_HIGH + 2 - _EXTRA
        _zero(plain, 0, ((_SUM_LOW, 2), *([(_SUM_HIGH, 2)] if high else [])))
        seed = checksum(struct.pack("<I", number) + inode[0x64:0x68], self._system.seed)
        found = checksum(bytes(plain), seed)
        low = struct.unpack_from("<H", inode, _SUM_LOW)[0]
        if not high:
            return bool(low == found & 0xFFFF)
        return bool(low | struct.unpack_from("<H", inode, _SUM_HIGH)[0] << 16 == found)

    def _descriptor_accepted(self, group: int, descriptor: bytes) -> bool:
        """Linux, ext4_group_desc_csum, with metadata_csum."""
        if not self._system.checksums or not any(descriptor):
            return True
        plain = bytearray(descriptor)
        _zero(plain, 0, ((_DESCRIPTOR_SUM, 2),))
        found = checksum(struct.pack("<I", group) + bytes(plain), self._system.seed)
        return bool(struct.unpack_from("<H", descriptor, _DESCRIPTOR_SUM)[0] == found & 0xFFFF)


def _zero(data: bytearray, start: int, fields: Sequence[tuple[int, int]]) -> None:
    for offset, length in fields:
        data[start + offset : start + offset + length] = bytes(length)
