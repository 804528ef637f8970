"""Runs of sectors that their readers use together, or not at all: copies with a checksum.

What is claimed: of a copy whose checksum is wrong the content does not count, only that it is torn.
Sound for readers that take nothing of such a copy: U-Boot (`env_import_redund`) and libubootenv
look at the CRC-32 before anything else in it. GRUB's block has no checksum, so no run of it is
given here, and every byte of it counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.crash.states.contents import SECTOR, Contents, Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCopy:
    """`count` sectors from `first` on; `whole` tells from their bytes whether they are used."""

    first: int
    count: int
    whole: Callable[[bytes], bool]

    @property
    def sectors(self) -> slice:
        """Where it lies."""
        return slice(self.first, self.first + self.count)


class CheckedCopies:
    """All of a disk; whether a content is whole is asked once."""

    def __init__(self, contents: Contents, copies: Sequence[CheckedCopy]) -> None:
        self.copies = copies
        self.torn = int(contents.ids(b"torn".ljust(SECTOR))[0])  # for each sector of what is torn
        self._contents = contents
        self._whole: dict[tuple[int, bytes], bool] = {}

    def whole(self, copy: CheckedCopy, ids: Ids) -> bool:
        """Whether a copy is used by its readers."""
        key = copy.first, ids.tobytes()
        if key not in self._whole:
            content = b"".join(map(self._contents.data, ids.tolist()))
            self._whole[key] = copy.whole(content)
        return self._whole[key]
