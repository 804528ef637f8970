"""What fills a slot: one of the versions that a recording knows, or nothing known."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.crash.states.contents import Ids
from harness.crash.states.disk_content import DiskContent


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotImages:
    """A slot's first sector, and what may fill it: versions (old, new, and one that is to be rolled
    back, if there is) by name, as content numbers."""

    first: int
    versions: dict[str, Ids]

    @property
    def size(self) -> int:
        """Sectors of the largest version."""
        return max(map(len, self.versions.values()))

    def wrong(self, content: DiskContent) -> tuple[int, ...]:
        """How many of its sectors differ from each version."""
        here = content.numbers(self.first, self.size)
        return tuple(int((here[: len(image)] != image).sum()) for image in self.versions.values())

    def named(self, wrong: Iterable[int]) -> str:
        """What fills the slot, from the number of its sectors that differ from each version."""
        return next((n for n, count in zip(self.versions, wrong, strict=True) if not count), "")

    def filled(self, content: DiskContent) -> str:
        """What fills the slot of a whole disk."""
        return self.named(self.wrong(content))
