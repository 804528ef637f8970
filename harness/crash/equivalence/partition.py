"""The data partition as its readers take it, in content numbers; each answer is worked out once.

What is claimed: two states of the partition whose answers here are equal, and that agree in all
other sectors that somebody reads, are the same to kernel and e2fsck. It rests on the rules of
`disk`: `jbd2` for what recovery makes of a journal, `metadata` for what of a superblock or an inode
is bookkeeping, and whether its reader accepts it. Nothing is left out of what a reader refuses: who
asks here for the plain form of something that is not accepted must tell it apart by its content.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness.crash.disk.ext4 import FileSystem
from harness.crash.disk.jbd2 import Block, Journal, Recovery
from harness.crash.disk.metadata import (
    Metadata,
    needs_recovery,
    plain_superblock,
    superblock_accepted,
)
from harness.crash.states.contents import SECTOR, Contents

Number = Callable[[int], int]  # sector of the disk -> number of its content


class DataPartition:
    """Of one file system on a disk."""

    def __init__(self, contents: Contents, system: FileSystem) -> None:
        self.superblock = slice(system.superblock, system.superblock + 2)  # its sectors
        self._contents, self._system = contents, system
        self._journal = Journal(contents, block_size=system.block_size, length=len(system.journal))
        self._metadata = Metadata(system)
        self._plain_superblocks: dict[Block, tuple[Block, bool]] = {}
        self._plain_inodes: dict[tuple[int, int], int] = {}
        self._accepted: dict[tuple[int, int], bool] = {}

    def journal(self, sectors: int) -> npt.NDArray[np.bool_]:
        """Which sectors of a disk of that size the journal has."""
        found = np.zeros(sectors, np.bool_)
        for block in self._system.journal:
            found[self._system.sector(block) :][: self._system.sectors_per_block] = True
        return found

    def recovery(self, number: Number) -> Recovery:
        """What the recovery of the journal does; unknown, where the superblock is refused, or
        something would be written behind the end."""
        system, contents = self._system, self._contents

        def read(block: int) -> Block:
            first = system.sector(system.journal[block])
            return tuple(map(number, range(first, first + system.sectors_per_block)))

        pair = range(self.superblock.start, self.superblock.stop)
        superblock = b"".join(contents.data(number(sector)) for sector in pair)
        if not superblock_accepted(superblock):
            return Recovery(unknown=True)
        found = self._journal.recovery(read, needed=needs_recovery(superblock))
        end = system.length // system.block_size
        return found if all(block < end for block in found.blocks) else Recovery(unknown=True)

    def first(self, block: int) -> int:
        """The sector that a block begins with."""
        return self._system.sector(block)

    def has_superblock(self, recovery: Recovery) -> bool:
        """Whether recovery replaces the superblock."""
        at = self.superblock.start * SECTOR - self._system.offset
        return at // self._system.block_size in recovery.blocks

    def plain_superblock(self, pair: Block) -> tuple[Block, bool]:
        """The two sectors without their bookkeeping; whether readers accept them."""
        if pair not in self._plain_superblocks:
            whole = b"".join(map(self._contents.data, pair))
            first, second = self._contents.ids(plain_superblock(whole)).tolist()
            self._plain_superblocks[pair] = (first, second), superblock_accepted(whole)
        return self._plain_superblocks[pair]

    def has_inodes(self, sector: int) -> bool:
        """Whether inodes lie in a sector."""
        return sector in self._metadata.inodes

    def plain_inodes(self, sector: int, number: int) -> int:
        """The content of a sector of inodes without their bookkeeping: of each that is accepted."""
        key = sector, number
        if key not in self._plain_inodes:
            plain = self._metadata.plain_inodes(sector, self._contents.data(number))
            self._plain_inodes[key] = int(self._contents.ids(plain)[0])
        return self._plain_inodes[key]

    def has_groups(self, sector: int) -> bool:
        """Whether group descriptors lie in a sector."""
        return sector in self._metadata.groups

    def accepted(self, sector: int, number: int) -> bool:
        """Whether readers accept a content of a sector of inodes or group descriptors."""
        key = sector, number
        if key not in self._accepted:
            data = self._contents.data(number)
            self._accepted[key] = self._metadata.accepted(sector, data)
        return self._accepted[key]
