"""Contents of the sectors that a log writes, and what differs between two of them where it matters.

A `LogContent` is one content of all those sectors; a `Change` is what becomes of it when some of
them are replaced. Claimed: two crash states are of one kind exactly if they agree in the tracked
sectors and in what fills the slots, so a change counts only by that: its tracked sectors, and how
many sectors of each slot become right or wrong by it, for each version. Nothing else of it is ever
looked at.

Numbers of wrong sectors are enough, because a version fills a slot exactly if none is wrong, and
because changes that do not overlap add up. Those that do overlap must never be added: who puts two
together that touch one sector lays them over each other first (`Mixtures`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from harness.crash.equivalence.classes import Classes, StateKind
from harness.crash.equivalence.footprint import NOT_TRACKED, Footprint
from harness.crash.equivalence.slots import SlotImages
from harness.crash.states.chunks import KeptArray
from harness.crash.states.contents import Ids, hashes
from harness.crash.states.writes import Writes
from harness.medium.log import LogRecord

Columns = slice | npt.NDArray[np.int64]  # places among the written and tracked sectors, ascending
Counts = npt.NDArray[np.int64]
_NO_IMAGE = np.uint32(np.iinfo(np.uint32).max)  # expected of a sector that no image covers


@dataclass(slots=True, eq=False)
class LogContent:
    """A content of the log's and the tracked sectors; its hash, and what is wrong in each slot."""

    ids: Ids
    hash: np.uint64
    wrong: Counts  # per slot: sectors that differ from each version
    kept: KeptArray | None = None  # its tracked sectors, for as long as these stay

    def copy(self) -> "LogContent":
        """One that can be changed by itself."""
        return LogContent(self.ids.copy(), self.hash, self.wrong.copy(), self.kept)

    def apply(self, change: "Change") -> None:
        """Let the change happen."""
        self.ids[change.columns] = change.ids
        self.hash ^= change.hash
        self.wrong += change.wrong
        if change.relevant:
            self.kept = None


@dataclass(slots=True, eq=False)
class Change:
    """What becomes of a view when the sectors in `columns` are replaced by `ids`.

    `relevant`: a tracked sector gets another content.
    """

    columns: Columns
    ids: Ids
    hash: np.uint64
    wrong: Counts
    relevant: bool
    active: bool = False  # it is relevant, or something in a slot becomes right or wrong
    parts: tuple[Counts, Counts, Counts] | None = None  # see `Relevance`

    def __post_init__(self) -> None:
        self.active = self.relevant or bool(self.wrong.any())


@dataclass(slots=True, eq=False)
class IssuedWrite:
    """A write of the log, and what it puts where."""

    record: LogRecord
    first: int  # column of its first sector
    ids: Ids
    matters: bool  # it touches a tracked sector or a slot
    cuts: Counts  # after which sectors it is torn
    change: Change  # what it did to all that had been issued before
    without: Change | None = None  # it alone is lost
    only: Change | None = None  # it alone is kept
    # Older ones that touch a sector of it.
    clashes: "list[IssuedWrite]" = field(default_factory=list)

    @property
    def columns(self) -> slice:
        """Its sectors among the written ones."""
        return slice(self.first, self.first + len(self.ids))

    @property
    def promised(self) -> bool:
        """Whether it is stable once it has been answered."""
        return self.record.fua

    def overlaps(self, other: "IssuedWrite") -> bool:
        """Whether both touch a sector."""
        return self.first < other.first + len(other.ids) and other.first < self.first + len(
            self.ids
        )

    def lay_over(self, ids: Ids, columns: Columns, count: int | None = None) -> None:
        """Put its first `count` sectors (all of them) over the content of some columns."""
        end = self.first + (len(self.ids) if count is None else count)
        if isinstance(columns, slice):
            first, end = max(self.first, columns.start), min(end, columns.stop)
            if first < end:
                start = columns.start
                ids[first - start : end - start] = self.ids[first - self.first : end - self.first]
        else:
            inside = slice(*np.searchsorted(columns, (self.first, end)))
            ids[inside] = self.ids[columns[inside] - self.first]


class Relevance:
    """Which sectors count, for one footprint, the images of some slots, and one log."""

    def __init__(self, footprint: Footprint, slots: Sequence[SlotImages], writes: Writes) -> None:
        self._footprint, self._slots, self._base = footprint, slots, writes.base
        self.factory = False  # whether states now are those of a device's first boot
        sectors = self.sectors = np.union1d(writes.sectors, footprint.tracked)
        self._column = np.full(footprint.sectors, NOT_TRACKED, np.int32)
        self._column[sectors] = np.arange(len(sectors), dtype=np.int32)
        self._tracked = self._column[footprint.tracked]
        self.is_tracked = np.zeros(len(sectors), np.bool_)
        self.is_tracked[self._tracked] = True
        versions = [len(images.versions) for images in slots]
        self.shape = len(versions), max(versions, default=0)
        self._nothing_wrong = np.zeros(self.shape, np.int64)
        self._expected = [
            [self._expectation(images, each) for each in images.versions.values()]
            for images in slots
        ]
        self.of_slots = np.zeros(len(sectors), np.bool_)
        for image in (image for images in self._expected for image in images):
            self.of_slots |= image != _NO_IMAGE
        # How many sectors matter before each place.
        self._mattering = np.concatenate(([0], np.cumsum(self.is_tracked | self.of_slots)))

    def column(self, sector: int) -> int:
        """The place of a sector."""
        return int(self._column[sector])

    def start(self, wrong: Sequence[Sequence[int]]) -> LogContent:
        """Before the log; `wrong` is then in the slots."""
        counts = np.array(wrong, np.int64).reshape(self.shape)
        return LogContent(self._base.at(self.sectors), np.uint64(0), counts)

    def matters(self, columns: slice) -> bool:
        """Whether a change there could make another kind."""
        return bool(self._mattering[columns.start] != self._mattering[columns.stop])

    def _expectation(self, images: SlotImages, image: Ids) -> Ids:
        """For each sector what a version of a slot has there."""
        expected = np.full(len(self.sectors), _NO_IMAGE, np.uint32)
        first = images.first
        inside = (self.sectors >= first) & (self.sectors < first + len(image))
        expected[inside] = image[self.sectors[inside] - first]
        inside[inside] = images.live[self.sectors[inside] - first]
        expected[inside] = _NO_IMAGE
        return expected

    def difference(self, view: LogContent, columns: Columns, ids: Ids) -> Change:
        """What replacing these sectors by `ids` would do to the view."""
        before, sectors = view.ids[columns], self.sectors[columns]
        changed = before != ids
        where = sectors[changed]
        delta = np.bitwise_xor.reduce(
            hashes(where, ids[changed]) ^ hashes(where, before[changed]), initial=np.uint64(0)
        )
        wrong = self._nothing_wrong
        if self.of_slots[columns].any():
            wrong = self._wrong(before, ids, columns).sum(axis=0)
        relevant = bool((changed & self.is_tracked[columns]).any())
        return Change(columns, ids, delta, wrong, relevant)

    def _wrong(self, before: Ids, after: Ids, columns: Columns) -> Counts:
        """For each sector, slot and version: 1 where it becomes wrong, -1 where it becomes right.
        A sector outside of the image is neither."""
        found = np.zeros((len(after), *self.shape), np.int64)
        for slot, images in enumerate(self._expected):
            for version, image in enumerate(images):
                wanted = image[columns]
                each = (after != wanted).astype(np.int64) - (before != wanted)
                found[:, slot, version] = np.where(wanted == _NO_IMAGE, 0, each)
        return found

    def torn(
        self, view: LogContent, change: Change, cuts: Counts, *, head: bool
    ) -> Iterator[tuple[int, int, Change]]:
        """The change of the first S sectors alone (`head`), or of those after the first S, for each
        S of `cuts`; runs [begin, end) of cuts that make the same kind have one change."""
        sums, touched, _ = self._parts(view, change)
        wrong = sums[cuts] if head else sums[-1] - sums[cuts]
        equal = (view.wrong + wrong == 0).reshape(len(cuts), -1)
        groups = np.searchsorted(touched, cuts)
        differs = (np.diff(groups) != 0) | (equal[1:] != equal[:-1]).any(axis=1)
        ends = [0, *(np.flatnonzero(differs) + 1).tolist(), len(cuts)]
        before = view.ids[change.columns]
        for begin, end in pairwise(ends):
            count = int(cuts[begin])
            first, second = (change.ids, before) if head else (before, change.ids)
            ids = np.concatenate((first[:count], second[count:]))
            part = Change(change.columns, ids, np.uint64(0), wrong[begin], change.relevant)
            yield begin, end, part

    def never_fills(self, view: LogContent, change: Change) -> bool:
        """Whether no part of the change matters: it touches slots alone, and those are so wrong
        that nothing in it makes them right."""
        if change.relevant or not view.wrong.all():
            return False
        _, _, reach = self._parts(view, change)
        return bool((reach < np.abs(view.wrong)).all())

    def _parts(self, view: LogContent, change: Change) -> tuple[Counts, Counts, Counts]:
        """What the first 0, 1, ... sectors of a change make wrong together; which sectors of it are
        tracked and get another content; and how much any first or last ones make wrong or right."""
        if change.parts is None:
            before, columns = view.ids[change.columns], change.columns
            sums = np.zeros((len(before) + 1, *self.shape), np.int64)
            if self.of_slots[columns].any():
                np.cumsum(self._wrong(before, change.ids, columns), axis=0, out=sums[1:])
            touched = np.flatnonzero((before != change.ids) & self.is_tracked[columns])
            reach = np.maximum(np.abs(sums).max(axis=0), np.abs(sums[-1] - sums).max(axis=0))
            change.parts = sums, touched, reach
        return change.parts

    def names(self, wrong: Counts) -> tuple[str, ...]:
        """What fills each slot."""
        return tuple(images.named(w) for images, w in zip(self._slots, wrong.tolist(), strict=True))

    def kind(
        self,
        classes: Classes,
        view: LogContent,
        changes: Iterable[Change] = (),
        wrong: Counts | None = None,
    ) -> StateKind:
        """The kind of a view with changes that do not overlap; `wrong` is then in its slots."""
        kept = view.kept = view.kept or self._footprint.keep(view.ids[self._tracked])
        for change in changes:
            if change.relevant:
                kept = kept.put(*self._tracked_part(change))
        names = self.names(view.wrong if wrong is None else wrong)
        picture = self._footprint.picture(kept, self._base)
        return classes.kind(picture, names, factory=self.factory)

    def _tracked_part(self, change: Change) -> tuple[npt.NDArray[np.int64], Ids]:
        """Places among the tracked sectors, and what becomes of these."""
        columns = change.columns
        if isinstance(columns, slice):
            first, end = np.searchsorted(self._tracked, (columns.start, columns.stop))
            return np.arange(first, end), change.ids[self._tracked[first:end] - columns.start]
        tracked = self.is_tracked[columns]
        return np.searchsorted(self._tracked, columns[tracked]), change.ids[tracked]
