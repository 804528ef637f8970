"""What fills a slot: one of the versions that a recording knows, or nothing known.

A slot that is mounted for writing is never again a version byte by byte. Its *live* sectors, those
that a running system was seen to write in it, are held against no version: they are compared like
any other sector of the disk. A version fills such a slot when all the others are the version's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.crash.equivalence.footprint import Mask
from harness.crash.states.contents import Ids
from harness.crash.states.disk_content import DiskContent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotImages:
    """A slot of `sectors` from `first` on, and what may fill it: versions (old, new, and one that
    is to be rolled back, if there is) by name, as content numbers. `live`: which sectors of the
    slot are held against none of them."""

    first: int
    sectors: int
    versions: dict[str, Ids]
    live: Mask

    @property
    def size(self) -> int:
        """Sectors of the largest version."""
        return max(map(len, self.versions.values()))

    def wrong(self, content: DiskContent) -> tuple[int, ...]:
        """How many of its sectors differ from each version."""
        here = content.numbers(self.first, self.size)
        return tuple(
            int(((here[: len(image)] != image) & ~self.live[: len(image)]).sum())
            for image in self.versions.values()
        )

    def named(self, wrong: Iterable[int]) -> str:
        """What fills the slot, from the number of its sectors that differ from each version."""
        return next((n for n, count in zip(self.versions, wrong, strict=True) if not count), "")

    def filled(self, content: DiskContent) -> str:
        """What fills the slot of a whole disk."""
        return self.named(self.wrong(content))

    def settle(self, reads: Mask, filled: str, *, judged: bool) -> None:
        """Of what a boot of a state has read (a mask of the disk), leave what tells states apart
        that agree in what fills the slot: whoever agrees in that agrees in every sector of it but
        the live ones. `judged`: the slot was held against a version as a tree of files, so all of
        it counts that is not known to be the version's."""
        here = reads[self.first : self.first + self.sectors]  # a view
        image = np.zeros(self.sectors, np.bool_)
        image[: len(self.versions.get(filled, ()))] = True
        here[image & ~self.live] = False
        if judged:
            here[~image | self.live] = True
