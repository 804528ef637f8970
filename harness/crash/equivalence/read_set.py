"""The read set of all boots so far, against what the logs write: what a footprint is made of.

A sector can tell two states apart only if some log writes it (else it is the same in all of them)
and some boot depends on it: has read it, or had it written by the recovery of the journal, which
replaces it before anybody reads. Both sets only grow while an exploration goes on; each time one
grows by a sector that is in the other, all states have to be put into classes again.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from harness.crash.disk.ext4 import FileSystem
from harness.crash.equivalence.copies import CheckedCopies, CheckedCopy
from harness.crash.equivalence.footprint import Footprint, Mask, Rules
from harness.crash.equivalence.partition import DataPartition
from harness.crash.states.contents import SECTOR, Contents
from harness.crash.states.disk_content import DiskContent


class ReadSet:
    """Of one disk of `size` bytes, for all logs of an exploration."""

    def __init__(
        self,
        contents: Contents,
        size: int,
        data: FileSystem | None,
        checked: Sequence[CheckedCopy] = (),
    ) -> None:
        sectors = size // SECTOR
        self.contents, self.sectors = contents, sectors
        self.written: Mask = np.zeros(sectors, np.bool_)
        self.reads: Mask = np.zeros(sectors, np.bool_)
        self._recovered: Mask = np.zeros(sectors, np.bool_)  # shared with all footprints
        partition = DataPartition(contents, data) if data else None
        self._rules = Rules(
            sectors=sectors,
            partition=partition,
            copies=CheckedCopies(contents, checked),
            journal=partition.journal(sectors) if partition else np.zeros(sectors, np.bool_),
        )
        for copy in checked:
            self.reads[copy.sectors] = True  # all of it says whether it is whole
        if partition:
            self.reads[partition.superblock] = True  # says whether to recover

    def survey(self, apart: Mapping[str, DiskContent] | None = None) -> Footprint:
        """The footprint as of now; see there for `apart`."""
        tracked = np.flatnonzero(self.written & (self.reads | self._rules.journal))
        return Footprint(self._rules, tracked, recovered=self._recovered, apart=apart or {})

    def add_log(self, sectors: npt.NDArray[np.int64]) -> None:
        """One more log writes these."""
        self.written[sectors] = True

    def add_reads(self, reads: Mask) -> bool:
        """One more boot has read these; whether some can differ and are not tracked yet."""
        new = bool((reads & self.written & ~self.reads & ~self._rules.journal).any())
        self.reads |= reads
        return new

    def add_recovered(self) -> bool:
        """What recovery has written in some picture or state can differ, too; whether boots have
        read any of it that no log writes: then survey again."""
        new = self._recovered & ~self.written
        self.written |= new
        return bool((new & self.reads).any())

    def recovered(self, content: DiskContent) -> Mask:
        """Sectors that recovery writes in a state. A boot depends on them without reading them
        first."""
        found = np.zeros(self.sectors, np.bool_)
        if partition := self._rules.partition:
            for block, written in partition.recovery(content.number).blocks.items():
                first = partition.first(block)
                found[first : first + len(written)] = True
        self._recovered |= found
        return found

    def fixed(self, content: DiskContent) -> Mask:
        """Sectors that no log writes, as far as they count in a state: a journal that is understood
        counts only by what recovery makes of it."""
        found = ~self.written
        partition = self._rules.partition
        if partition and not partition.recovery(content.number).unknown:
            found &= ~self._rules.journal
        return found

    def marks(self) -> tuple[Mask, ...]:
        """All that boots have added to it, for `back_to`."""
        return self.reads.copy(), self.written.copy(), self._recovered.copy()

    def back_to(self, marks: tuple[Mask, ...]) -> None:
        """As it was; survey again."""
        for mask, before in zip((self.reads, self.written, self._recovered), marks, strict=True):
            mask[:] = before
