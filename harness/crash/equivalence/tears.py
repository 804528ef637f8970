"""After which of its sectors a write is torn: at each of them, or where structures begin and end.

A medium can stop at any sector. The newest write is torn at each; of all others in doubt, at all
positions where they are, that would be more states than a machine can put into kinds when a boot
has read half a slot. So a long one is torn only where its reader would see the difference.

This is no claim that two tears end alike, but a choice of which ones are tried: results count them
apart (`Family.BORDER`). It is a good one as far as a reader takes a structure whole or not at all:
between two borders a tear leaves the same structures whole, the same one damaged.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from harness.crash.disk.ext4 import FileSystem
from harness.crash.states.contents import SECTOR
from harness.medium.log import LogRecord

Sectors = npt.NDArray[np.int64]
_SHORT = 8  # sectors: a block of 4 KiB; torn at each of them
_LONG = 128  # sectors: from there on it is bulk data, and its blocks are all alike


def every_sector(record: LogRecord) -> Sectors:
    """1 .. n-1 sectors of a write."""
    return np.arange(1, record.length // SECTOR)


class Borders:
    """Where structures begin and end on one disk; `layout`: byte offset and length of its regions.

    In the data partition: each block of metadata, in the journal also the sector behind a block's
    header; each sector of the block with the superblock.
    """

    def __init__(self, layout: Mapping[str, tuple[int, int]], data: FileSystem | None) -> None:
        regions = [(offset // SECTOR, length // SECTOR) for offset, length in layout.values()]
        pieces = [np.array([edge for at, n in regions for edge in (at, at + n)], np.int64)]
        if data:
            size = data.sectors_per_block
            pieces.append(data.sector(0) + np.arange(size + 1))
            for block in data.journal:
                pieces.append(data.sector(block) + np.array([0, 1, size]))
            for first, last, _ in data.parts:
                pieces.append(np.arange(data.sector(first), data.sector(last + 1) + 1, size))
        self._borders: Sectors = np.unique(np.concatenate(pieces))

    def __call__(self, record: LogRecord) -> Sectors:
        """The numbers of sectors after which a write is torn, ascending."""
        first, count = record.offset // SECTOR, record.length // SECTOR
        if count <= _SHORT:
            return every_sector(record)
        inside = slice(*np.searchsorted(self._borders, (first + 1, first + count)))
        cuts = self._borders[inside] - first
        blocks = np.arange(_SHORT - first % _SHORT, count, _SHORT)
        if count > _LONG:
            blocks = blocks[len(blocks) // 2 :][:1]
        return np.union1d(cuts, blocks)
