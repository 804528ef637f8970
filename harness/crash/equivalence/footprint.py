"""What of a crash state its verdict depends on: a picture of it, equal for states that end alike.

Claimed: two states end in the same verdict when their pictures agree in all that the boot of one of
them has read, and the same versions, or nothing known, fill their slots. For a boot is a function
of what it reads. As long as all that it has read so far is the same it goes the same way, and so it
also reads the same next. (Time and randomness are fixed for these boots; docs/crash.md has what
that leaves open.) So a picture has a number for each *tracked* sector, one that some log writes
and some boot reads, and leaves out all others. Each number stands for one content, so "equal" is
byte for byte.

Three things are not compared as they lie there, but as their reader sees them:

- the journal of the data partition counts by what recovery makes of the file system (`seen` is
  after recovery, without the journal). Whoever mounts the partition, or e2fsck before that,
  recovers it first. A journal that is not understood completely counts as it is.
- superblock and inodes count without their bookkeeping (`partition`), and only as long as their
  readers accept them: a kernel refuses the mount, e2fsck ends with code 8 or checks everything,
  when a checksum is wrong. So whatever is refused, before recovery or after it, goes into `odd`
  with its content, and agrees with nothing but itself.
- of copies with a checksum one that is torn is torn, whatever it holds (`copies`).

If one of these were wrong, two states with one picture could end differently. Nothing in here would
notice: therefore each exploration gives every picture that is decided without a boot to the real
readers (`exploration.audit`), and boots a sample of what was decided (`exploration.sample`).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.crash.disk.jbd2 import Block, Recovery
from harness.crash.equivalence.copies import CheckedCopies, CheckedCopy
from harness.crash.equivalence.partition import DataPartition, Number
from harness.crash.states.chunks import ChunkStore, KeptArray
from harness.crash.states.contents import Ids
from harness.crash.states.disk_content import DiskContent

Mask = npt.NDArray[np.bool_]  # for each sector of a disk
NOT_TRACKED = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A crash state where it matters. `odd` tells apart what must not be taken for equal although
    it is after recovery: journals that cannot be interpreted, metadata that is refused. `condition`
    says in words of which sort that is, whatever the contents are."""

    kept_ids: KeptArray
    kept_seen: KeptArray
    digest: bytes  # of `ids`, among the pictures of one footprint
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

    digest: bytes  # of the picture
    content: bytearray = field(default_factory=bytearray)
    sorts: set[str] = field(default_factory=set)

    def add(self, sort: str, content: bytes) -> None:
        """Nothing, where the content is empty."""
        self.content += content
        self.sorts |= {sort} if content else set()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rules:
    """How the sectors of one disk are compared."""

    sectors: int  # of the disk
    partition: DataPartition | None
    copies: CheckedCopies
    journal: Mask  # which sectors only count by what recovery makes of them


class Footprint:
    """The tracked sectors, and the pictures of states in them. It stays as it is: when a boot has
    read something else, another one is made (`ReadSet.survey`), and pictures of the two do not
    compare.

    `recovered`: a mask to which is added what recovery writes in any picture. `apart`: contents
    that are like nothing else, by a name that tells them from each other.
    """

    def __init__(
        self,
        rules: Rules,
        tracked: npt.NDArray[np.int64],
        *,
        recovered: Mask,
        apart: Mapping[str, DiskContent],
    ) -> None:
        self.tracked = tracked  # ascending
        self._rules, self._recovered = rules, recovered
        self._column = _columns(tracked, rules.sectors)
        self._outside = np.flatnonzero(~rules.journal[tracked])
        self.seen = tracked[self._outside]  # those that are not in the journal
        self._seen_column = _columns(self.seen, rules.sectors)
        says = rules.journal.copy()
        self._inodes: list[tuple[int, int]] = []  # (column among the seen ones, sector)
        self._groups: list[tuple[int, int]] = []
        if rules.partition:
            seen = list(enumerate(self.seen.tolist()))
            self._inodes = [each for each in seen if rules.partition.has_inodes(each[1])]
            self._groups = [each for each in seen if rules.partition.has_groups(each[1])]
            says[rules.partition.superblock] = True
        self._for_recovery = np.flatnonzero(says[tracked])  # columns that it depends on
        self._recoveries: dict[tuple[bytes, DiskContent], Recovery] = {}
        self._pictures: dict[tuple[bytes, DiskContent], Picture] = {}
        # A picture differs from most others in few sectors.
        self._store, self._store_seen = ChunkStore(), ChunkStore()
        self._apart = {
            self.keep(content.at(tracked)).digest: name.encode() for name, content in apart.items()
        }

    @property
    def sectors(self) -> int:
        """Of the disk."""
        return self._rules.sectors

    def keep(self, ids: Ids) -> KeptArray:
        """The contents of the tracked sectors, for `picture`."""
        return self._store.keep(ids)

    def is_apart(self, picture: Picture) -> bool:
        """Whether it was told apart."""
        return picture.digest in self._apart

    def picture_of(self, content: DiskContent) -> Picture:
        """The picture of a whole disk."""
        return self.picture(self.keep(content.at(self.tracked)), content)

    def picture(self, kept: KeptArray, base: DiskContent) -> Picture:
        """The picture of a state: what is kept for the tracked sectors, `base` for all others."""
        key = (kept.digest, base)
        if key not in self._pictures:
            self._pictures[key] = self._taken(kept, key[0], base)
        return self._pictures[key]

    def _taken(self, kept: KeptArray, digest: bytes, base: DiskContent) -> Picture:
        ids = kept.whole()
        seen, odd = ids[self._outside], _Odd(digest)
        odd.add("told apart", self._apart.get(digest, b""))
        if self._rules.partition:
            self._recover(self._rules.partition, seen, odd, ids, base)
        for copy in self._rules.copies.copies:
            self._strip_torn(copy, seen, ids, base)
        kept_seen = self._store_seen.keep(seen)
        return Picture(
            kept_ids=kept,
            kept_seen=kept_seen,
            digest=digest,
            seen_digest=kept_seen.digest,
            odd=bytes(odd.content),
            condition=frozenset(odd.sorts),
        )

    def _recover(
        self,
        partition: DataPartition,
        seen: Ids,
        odd: _Odd,
        ids: Ids,
        base: DiskContent,
    ) -> None:
        """Bring `seen` to what it is after recovery, without bookkeeping."""
        odd.add("refused", self._refused(partition, seen))
        recovery = self._recovery(partition, ids, base)
        odd.add("unknown journal", odd.digest * recovery.unknown)
        odd.add("torn journal", b"torn" * (recovery.torn and not recovery.unknown))
        if partition.has_superblock(recovery):  # e2fsck goes by this one until it has replayed
            before = seen.copy()
            self._strip_superblock(partition, before)
            columns = self._seen_column[partition.superblock]
            odd.add("superblock in the journal", before[columns].tobytes())
        for block, content in recovery.blocks.items():
            first = partition.first(block)
            self._put(seen, first, content)
            self._recovered[first : first + len(content)] = True
        if recovery.blocks and (after := self._refused(partition, seen)):
            odd.add("refused after recovery", b"after" + after)
        accepted = self._strip_superblock(partition, seen)
        odd.add("superblock refused", b"refused" * (not accepted))
        for column, sector in self._inodes:
            seen[column] = partition.plain_inodes(sector, int(seen[column]))

    def _recovery(self, partition: DataPartition, ids: Ids, base: DiskContent) -> Recovery:
        key = ids[self._for_recovery].tobytes(), base
        if key not in self._recoveries:
            self._recoveries[key] = partition.recovery(self._number(ids, base))
        return self._recoveries[key]

    def _number(self, ids: Ids, base: DiskContent) -> Number:
        def number(sector: int) -> int:
            column = self._column[sector]
            return int(ids[column]) if column >= 0 else base.number(sector)

        return number

    def _refused(self, partition: DataPartition, seen: Ids) -> bytes:
        """What their readers will not accept of inodes and group descriptors, before recovery
        (e2fsck reads descriptors and the journal's inode first) or after: sectors and contents."""
        return b"".join(
            struct.pack("<QQ", sector, int(seen[column]))
            for column, sector in (*self._inodes, *self._groups)
            if not partition.accepted(sector, int(seen[column]))
        )

    def _put(self, seen: Ids, sector: int, content: Block) -> None:
        for index, number in enumerate(content):
            column = self._seen_column[sector + index]
            if column >= 0:
                seen[column] = number

    def _strip_superblock(self, partition: DataPartition, seen: Ids) -> bool:
        """Take its bookkeeping out; whether it is one that its readers accept."""
        columns = self._seen_column[partition.superblock].tolist()
        if min(columns) < 0:  # never written
            return True
        pair = (int(seen[columns[0]]), int(seen[columns[1]]))
        (seen[columns[0]], seen[columns[1]]), accepted = partition.plain_superblock(pair)
        return accepted

    def _strip_torn(self, copy: CheckedCopy, seen: Ids, ids: Ids, base: DiskContent) -> None:
        columns = self._column[copy.sectors]
        fixed = columns == NOT_TRACKED
        numbers = ids[columns]
        if fixed.any():
            numbers[fixed] = base.numbers(copy.first, copy.count)[fixed]
        if not self._rules.copies.whole(copy, numbers):
            columns = self._seen_column[copy.sectors]
            seen[columns[columns != NOT_TRACKED]] = self._rules.copies.torn


def _columns(sectors: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int32]:
    """For each sector of a disk its place among some."""
    found = np.full(size, NOT_TRACKED, np.int32)
    found[sectors] = np.arange(len(sectors), dtype=np.int32)
    return found
