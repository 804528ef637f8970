"""Which parts of a disk a verdict depends on, and what a crash state looks like there.

Two crash states get the same verdict when they agree in three things:

- what the boots read before they wrote it, sector by sector (`reads`: the union of all boots so
  far), as it is *after* the recovery of the data partition's journal. A torn copy of a checksummed
  boot selection is torn, whatever it holds;
- what fills slot A and slot B: one of the recording's versions or none (the judge hashes all of a
  slot, a boot reads little of it);
- nothing else. The journal itself counts only by what recovery makes of it, superblock and inodes
  without their bookkeeping, as long as their readers accept them (`metadata`): what they refuse
  counts as it is, before recovery. What this rests on is in docs/crash.md; each run gives all kinds
  of states to the real readers (`audit`), and boots some of those that it decided this way.

`tracked` are the sectors that can differ at all: written in some log, and read or of the journal.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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
from harness.crash.states.chunks import ChunkStore, KeptArray
from harness.crash.states.contents import SECTOR, Contents, Ids
from harness.crash.states.disk_content import DiskContent

Mask = npt.NDArray[np.bool_]
_NOT_TRACKED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotImages:
    """A slot's first sector, and what may fill it: versions (old, new, and one that is to be rolled
    back, if there is) by name, as content numbers."""

    first: int
    versions: dict[str, Ids]

    def named(self, wrong: Iterable[int]) -> str:
        """What fills the slot, from the number of its sectors that differ from each version."""
        return next((n for n, count in zip(self.versions, wrong, strict=True) if not count), "")

    def wrong(self, base: DiskContent) -> tuple[int, ...]:
        """How many of its sectors differ from each version."""
        content = base.numbers(self.first, self.size)
        each = self.versions.values()
        return tuple(int((content[: len(image)] != image).sum()) for image in each)

    @property
    def size(self) -> int:
        """Sectors of the largest version."""
        return max(map(len, self.versions.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`count` sectors from `first` on that their readers use together, or not at all: `whole` tells
    from their bytes."""

    first: int
    count: int
    whole: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A crash state where it matters. `odd` tells apart what must not be taken for equal although
    it is after recovery: journals that cannot be interpreted, metadata that is refused. `condition`
    says in words of which sort that is, whatever the contents are."""

    kept_ids: KeptArray
    kept_seen: KeptArray
    digest: bytes  # of `ids`, among the pictures of one survey
    seen_digest: bytes
    odd: bytes = b""
    condition: frozenset[str] = frozenset()

    @property
    def ids(self) -> Ids:
        """A number for each tracked sector, the journal's included, before recovery."""
        return self.kept_ids.whole()

    @property
    def seen(self) -> Ids:
        """A number for each tracked sector outside of the journal, after recovery."""
        return self.kept_seen.whole()


@dataclass(slots=True)
class _Odd:
    """What tells a picture apart, as it is found."""

    content: bytearray = field(default_factory=bytearray)
    sorts: set[str] = field(default_factory=set)

    def add(self, sort: str, content: bytes) -> None:
        """Nothing, where the content is empty."""
        self.content += content
        self.sorts |= {sort} if content else set()


class Landscape:
    """Shared by all logs of an exploration; `size` in bytes."""

    def __init__(
        self,
        contents: Contents,
        size: int,
        slots: dict[str, SlotImages],
        data: FileSystem | None,
        checked: Sequence[Checked] = (),
    ) -> None:
        self.contents = contents
        self.sectors = size // SECTOR
        self.slots = slots
        self.written: Mask = np.zeros(self.sectors, np.bool_)
        self.reads: Mask = np.zeros(self.sectors, np.bool_)
        self.tracked: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._data = data
        self._checked = checked
        self._torn = int(contents.ids(b"torn".ljust(SECTOR))[0])  # for each sector of what is torn
        self._whole: dict[tuple[int, bytes], bool] = {}
        self._in_journal: Mask = np.zeros(self.sectors, np.bool_)
        self._recovered: Mask = np.zeros(self.sectors, np.bool_)
        self._journal: Journal | None = None
        self._plain: dict[Block, tuple[Block, bool]] = {}  # of the superblock's two sectors
        self._metadata = Metadata(data) if data else None
        self._plain_inodes: dict[tuple[int, int], int] = {}
        self._accepted: dict[tuple[int, int], bool] = {}
        for one in checked:
            self.reads[one.first : one.first + one.count] = (
                True  # all of it says whether it is whole
            )
        if data:
            count = len(data.journal)
            self._journal = Journal(contents, block_size=data.block_size, length=count)
            for block in data.journal:
                self._in_journal[data.sector(block) :][: data.sectors_per_block] = True
            self.reads[data.superblock : data.superblock + 2] = True  # says whether to recover

    def survey(self) -> None:
        """Fix the tracked sectors; pictures taken before do not compare with those after."""
        self.tracked = np.flatnonzero(self.written & (self.reads | self._in_journal))
        self._column = np.full(self.sectors, _NOT_TRACKED, np.int32)
        self._column[self.tracked] = np.arange(len(self.tracked), dtype=np.int32)
        self._outside = np.flatnonzero(~self._in_journal[self.tracked])
        self.seen = self.tracked[self._outside]
        self._seen_column = np.full(self.sectors, _NOT_TRACKED, np.int32)
        self._seen_column[self.seen] = np.arange(len(self.seen), dtype=np.int32)
        known = self._metadata
        self._columns_of_inodes = self._columns_in(known.inodes if known else {})
        self._columns_of_groups = self._columns_in(known.groups if known else {})
        says = self._in_journal.copy()
        if self._data:
            says[self._data.superblock : self._data.superblock + 2] = True
        self._for_recovery = np.flatnonzero(says[self.tracked])  # columns that it depends on
        self._recoveries: dict[tuple[bytes, DiskContent], Recovery] = {}
        self._pictures: dict[tuple[bytes, DiskContent], Picture] = {}
        self._apart: dict[bytes, bytes] = {}
        # A picture differs from most others in few sectors.
        self._pieces, self._pieces_seen = ChunkStore(), ChunkStore()

    def _columns_in(self, sectors: Mapping[int, int]) -> list[tuple[int, int]]:
        """(column among the seen ones, sector) of those that are tracked."""
        return [(at, n) for at, n in enumerate(self.seen.tolist()) if n in sectors]

    def news(self, reads: Mask) -> bool:
        """Whether a boot has read sectors that can differ and are not tracked yet; adds them."""
        new = bool((reads & self.written & ~self.reads & ~self._in_journal).any())
        self.reads |= reads
        return new

    def tell_apart(self, ids: Ids, name: str) -> None:
        """What has these `ids` in the tracked sectors is like nothing else, until a new survey."""
        self._apart[self.keep(ids).digest] = name.encode()

    def is_apart(self, picture: Picture) -> bool:
        """Whether it was told apart."""
        return picture.digest in self._apart

    def keep(self, ids: Ids) -> KeptArray:
        """The contents of the tracked sectors, for `picture`."""
        return self._pieces.keep(ids)

    def picture(self, kept: KeptArray, base: DiskContent) -> Picture:
        """The picture of a state: what is kept for the tracked sectors, `base` for all others."""
        key = (kept.digest, base)
        if key not in self._pictures:
            self._pictures[key] = self._take(kept, key[0], base)
        return self._pictures[key]

    def _take(self, kept: KeptArray, raw: bytes, base: DiskContent) -> Picture:
        ids = kept.whole()
        seen, odd = ids[self._outside], _Odd()
        odd.add("told apart", self._apart.get(raw, b""))
        if self._data:
            odd.add("refused", self._refused(seen))
            journal = (ids[self._for_recovery].tobytes(), base)
            if journal not in self._recoveries:
                self._recoveries[journal] = self._recovery(self._data, self._at(ids, base))
            recovery = self._recoveries[journal]
            odd.add("unknown journal", raw * recovery.unknown)
            odd.add("torn journal", b"torn" * (recovery.torn and not recovery.unknown))
            odd.add(
                "superblock in the journal", self._superblock_before(self._data, seen, recovery)
            )
            for block, content in recovery.blocks.items():
                first = self._data.sector(block)
                self._put(seen, first, content)
                self._recovered[first : first + len(content)] = True
            if recovery.blocks and (after := self._refused(seen)):
                odd.add("refused after recovery", b"after" + after)
            accepted = self._strip_superblock(self._data, seen)
            odd.add("superblock refused", b"refused" * (not accepted))
            self._strip_inodes(seen)
        for one in self._checked:
            self._strip_torn(one, seen, ids, base)
        kept_seen = self._pieces_seen.keep(seen)
        return Picture(
            kept_ids=kept,
            kept_seen=kept_seen,
            digest=raw,
            seen_digest=kept_seen.digest,
            odd=bytes(odd.content),
            condition=frozenset(odd.sorts),
        )

    def recovered(self, base: DiskContent) -> Mask:
        """Sectors that recovery writes in a state that is all in `base`. A boot depends on them
        without reading them first."""
        found = np.zeros(self.sectors, np.bool_)
        blocks = self._recovery(self._data, base.number).blocks if self._data else {}
        for block, content in blocks.items():
            first = self._data.sector(block) if self._data else 0
            found[first : first + len(content)] = True
        self._recovered |= found
        return found

    def fixed(self, base: DiskContent) -> Mask:
        """Sectors that no log writes, as far as they count in a state that is all in `base`: a
        journal that is understood counts only by what recovery makes of it."""
        found = ~self.written
        if self._data and not self._recovery(self._data, base.number).unknown:
            found &= ~self._in_journal
        return found

    def marks(self) -> tuple[Mask, ...]:
        """All that boots have added to it, for `back_to`."""
        return self.reads.copy(), self.written.copy(), self._recovered.copy()

    def back_to(self, marks: tuple[Mask, ...]) -> None:
        """As it was; survey again."""
        self.reads, self.written, self._recovered = (each.copy() for each in marks)

    def grown(self) -> bool:
        """Whether recovery writes what no log does, and boots depend on: survey again."""
        new = self._recovered & ~self.written
        self.written |= new
        return bool((new & self.reads).any())

    def _at(self, ids: Ids, base: DiskContent) -> Callable[[int], int]:
        def number(sector: int) -> int:
            column = self._column[sector]
            return int(ids[column]) if column >= 0 else base.number(sector)

        return number

    def _recovery(self, data: FileSystem, number: Callable[[int], int]) -> Recovery:
        def read(block: int) -> Block:
            first = data.sector(data.journal[block])
            return tuple(map(number, range(first, first + data.sectors_per_block)))

        assert self._journal is not None  # noqa: S101 - with a file system there is one
        pair = number(data.superblock), number(data.superblock + 1)
        superblock = b"".join(map(self.contents.data, pair))
        if not superblock_accepted(superblock):
            return Recovery(unknown=True)
        found = self._journal.recovery(read, needed=needs_recovery(superblock))
        end = data.length // data.block_size
        return found if all(block < end for block in found.blocks) else Recovery(unknown=True)

    def _refused(self, seen: Ids) -> bytes:
        """What their readers will not accept of inodes and group descriptors, before recovery
        (e2fsck reads descriptors and the journal's inode first) or after: sectors and contents."""
        found = b""
        for column, sector in (*self._columns_of_inodes, *self._columns_of_groups):
            key = sector, int(seen[column])
            if key not in self._accepted:
                assert self._metadata is not None  # noqa: S101 - it has columns
                data = self.contents.data(key[1])
                self._accepted[key] = self._metadata.accepted(sector, data)
            if not self._accepted[key]:
                found += struct.pack("<QQ", *key)
        return found

    def _superblock_before(self, data: FileSystem, seen: Ids, recovery: Recovery) -> bytes:
        """What e2fsck goes by until it has replayed a journal that replaces it."""
        if (data.superblock * SECTOR - data.offset) // data.block_size not in recovery.blocks:
            return b""
        before = seen.copy()
        self._strip_superblock(data, before)
        columns = self._seen_column[data.superblock : data.superblock + 2]
        return before[columns].tobytes()

    def _put(self, seen: Ids, sector: int, content: Block) -> None:
        for index, number in enumerate(content):
            column = self._seen_column[sector + index]
            if column >= 0:
                seen[column] = number

    def _strip_superblock(self, data: FileSystem, seen: Ids) -> bool:
        """Take its bookkeeping out; whether it is one that its readers accept."""
        columns = self._seen_column[data.superblock : data.superblock + 2].tolist()
        if min(columns) < 0:  # never written
            return True
        pair = (int(seen[columns[0]]), int(seen[columns[1]]))
        if pair not in self._plain:
            whole = b"".join(map(self.contents.data, pair))
            first, second = self.contents.ids(plain_superblock(whole)).tolist()
            self._plain[pair] = (first, second), superblock_accepted(whole)
        (seen[columns[0]], seen[columns[1]]), accepted = self._plain[pair]
        return accepted

    def _strip_inodes(self, seen: Ids) -> None:
        for column, sector in self._columns_of_inodes:
            key = sector, int(seen[column])
            if key not in self._plain_inodes:
                assert self._metadata is not None  # noqa: S101 - it has columns
                plain = self._metadata.plain_inodes(sector, self.contents.data(key[1]))
                self._plain_inodes[key] = int(self.contents.ids(plain)[0])
            seen[column] = self._plain_inodes[key]

    def _strip_torn(self, one: Checked, seen: Ids, ids: Ids, base: DiskContent) -> None:
        sectors = slice(one.first, one.first + one.count)
        columns = self._column[sectors]
        fixed = columns == _NOT_TRACKED
        numbers = ids[columns]
        if fixed.any():
            numbers[fixed] = base.numbers(one.first, one.count)[fixed]
        key = (one.first, numbers.tobytes())
        if key not in self._whole:
            content = b"".join(map(self.contents.data, numbers.tolist()))
            self._whole[key] = one.whole(content)
        if not self._whole[key]:
            columns = self._seen_column[sectors]
            seen[columns[columns != _NOT_TRACKED]] = self._torn
