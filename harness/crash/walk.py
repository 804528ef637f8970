"""Every crash state of one write log, in order, each put into its kind.

For each log position: nothing in doubt kept, all kept, each write in doubt lost alone, each kept
alone, the newest torn at each of its sectors (docs/crash.md). Nothing is computed for each state
that can be had from its neighbour: a write is worked out once for as long as no other write in
doubt overlaps it, and a state is a position and the difference that one write makes to it.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.boards.medium.log import CHANGES, Kind, Record
from harness.boards.medium.model import Loss, LossKind, Model
from harness.crash.classes import Classes
from harness.crash.classes import Kind as StateKind
from harness.crash.contents import SECTOR, Ids, hashes
from harness.crash.landscape import Landscape
from harness.crash.phases import EVERYWHERE, Stretch
from harness.crash.writes import Writes

Hashes = npt.NDArray[np.uint64]
_NO_IMAGE = np.uint32(np.iinfo(np.uint32).max)  # expected of a sector that no image covers
_NONE, _ALL = Loss(kind=LossKind.NONE), Loss(kind=LossKind.ALL)


@dataclass(slots=True, eq=False)
class Step:
    """A write of the log, and what it puts where."""

    record: Record
    first: int  # column of its first sector
    ids: Ids
    change: "Change | None" = None  # what it did to all that had been issued before
    changes: dict[str, "Change"] = field(default_factory=dict)  # `without`, `only`; see Walk

    @property
    def columns(self) -> slice:
        """Its sectors among the written ones."""
        return slice(self.first, self.first + len(self.ids))

    def overlaps(self, other: "Step") -> bool:
        """Whether both touch a sector."""
        return self.first < other.first + len(other.ids) and other.first < self.first + len(
            self.ids
        )


@dataclass(slots=True, eq=False)
class View:
    """A content of the log's and the tracked sectors; its hash, and what is wrong in each slot."""

    ids: Ids
    hash: np.uint64
    wrong: npt.NDArray[np.int64]  # per slot: sectors that differ from each version


@dataclass(slots=True, frozen=True, eq=False)
class Change:
    """What becomes of a view when the sectors of one step are replaced."""

    step: Step
    ids: Ids
    hash: np.uint64
    wrong: npt.NDArray[np.int64]
    relevant: bool


class Walk:
    """The crash states of a log: of the power cuts in `stretches`."""

    def __init__(
        self, landscape: Landscape, writes: Writes, stretches: Sequence[Stretch] = (EVERYWHERE,)
    ) -> None:
        self._landscape, self.writes, self._stretches = landscape, writes, stretches
        self._factory = False  # whether the states of now are those of a device's first boot
        landscape.written[writes.sectors] = True
        end = len(writes.records)
        # What each write did to all before it: the same in every run, but for what is tracked.
        self._effects = np.zeros(end, np.uint64)
        versions = [len(images.versions) for images in landscape.slots.values()]
        self._shape = len(versions), max(versions, default=0)
        self._wrongs = np.zeros((end, *self._shape), np.int64)
        wrong = [images.wrong(writes.base) for images in landscape.slots.values()]
        self._wrong = np.array(wrong, np.int64).reshape(self._shape)  # before the log
        self._has_run = False
        self._whole: StateKind | None = None  # the kind of `_now`, as long as nothing changes it
        self.points: dict[int, Counter[StateKind]] = {}
        self._hashes = array("Q")

    @property
    def cut_points(self) -> int:
        """Number of crash states, equal ones counted as often as they occur."""
        return sum(sum(counter.values()) for counter in self.points.values())

    @property
    def distinct(self) -> int:
        """Number of different contents among them."""
        return len(np.unique(self.hashes))

    @property
    def hashes(self) -> Hashes:
        """Of each state's content, as far as the log can change it."""
        return np.array(self._hashes, np.uint64)

    def run(self, classes: Classes, prefix: str = "") -> None:
        """Go through all states; `prefix` is the state whose boot wrote this log, with its `>`."""
        self.points, self._hashes = {}, array("Q")
        self._alone: dict[StateKind, Counter[StateKind]] = {}
        self._classes, self._prefix = classes, prefix
        self._prepare()
        for record in self.writes.records:
            self._issue(record)
            at = record.position + 1
            stretch = next((s for s in self._stretches if record.position in s.records), None)
            if stretch and record.kind is not Kind.MARK:
                if stretch.factory != self._factory:
                    self._factory, self._whole = stretch.factory, None
                self._emit(at, record)
        self._has_run, self._whole = True, None
        del self._now, self._stable, self._open, self._column, self._expected  # megabytes

    # What the log does

    def _prepare(self) -> None:
        land = self._landscape
        sectors = self._sectors = np.union1d(self.writes.sectors, land.tracked)
        self._column = np.full(land.sectors, -1, np.int32)
        self._column[sectors] = np.arange(len(sectors), dtype=np.int32)
        start = self.writes.base.at(sectors)
        self._tracked = self._column[land.tracked]
        self._is_tracked = np.zeros(len(sectors), np.bool_)
        self._is_tracked[self._tracked] = True
        self._expected = [self._slot_columns(name) for name in land.slots]
        self._nothing_wrong = np.zeros(self._shape, np.int64)
        self._of_slots = np.zeros(len(sectors), np.bool_)
        for images in self._expected:
            for image in images:
                self._of_slots |= image != _NO_IMAGE
        self._now = View(start.copy(), np.uint64(0), self._wrong.copy())
        self._stable = View(start, np.uint64(0), self._wrong.copy())
        self._open: list[Step] = []
        self._whole = None

    def _slot_columns(self, name: str) -> list[Ids]:
        """For each written sector what each version of the slot has there; a sector outside of the
        image has what nothing is equal or unequal to: see `_count`."""
        images = self._landscape.slots[name]
        return [self._expectation(images.first, each) for each in images.versions.values()]

    def _expectation(self, first: int, image: Ids) -> Ids:
        expected = np.full(len(self._sectors), _NO_IMAGE, np.uint32)
        inside = (self._sectors >= first) & (self._sectors < first + len(image))
        expected[inside] = image[self._sectors[inside] - first]
        return expected

    def _issue(self, record: Record) -> None:
        """One record has been issued."""
        if record.kind in (Kind.FLUSH, Kind.CUT):
            # A cut in a recording is that of a board which had switched itself off: nothing lost.
            self._settle()
        elif record.kind in CHANGES:
            if self.writes.model is Model.SD:
                self._settle()
            first = int(self._column[record.offset // SECTOR])
            step = Step(record, first, self.writes.ids(record))
            # Differences change with what lies over them, also when a FUA write has been answered.
            for news in (step, *(s for s in self._open[-1:] if s.record.fua)):
                for other in self._open:
                    if other.overlaps(news):
                        other.changes.clear()
            step.change = self._effect(step)
            equal = self._now.wrong == 0
            _apply(self._now, step.change)
            if step.change.relevant or (equal != (self._now.wrong == 0)).any():
                self._whole = None
            self._open.append(step)

    def _settle(self) -> None:
        """What has been issued becomes stable, in the same order: it does there what it did."""
        for step in self._open:
            assert step.change is not None  # noqa: S101 - issued
            _apply(self._stable, step.change)
        self._open.clear()

    def _effect(self, step: Step) -> Change:
        """What the newest write does to all that had been issued before it."""
        at = step.record.position
        if not self._has_run:
            change = self._difference(self._now, step, step.ids)
            self._effects[at], self._wrongs[at] = change.hash, change.wrong
            return change
        tracked = self._is_tracked[step.columns]
        relevant = bool(
            tracked.any() and (tracked & (self._now.ids[step.columns] != step.ids)).any()
        )
        return Change(step, step.ids, self._effects[at], self._wrongs[at], relevant)

    def _difference(self, view: View, step: Step, ids: Ids) -> Change:
        """What replacing the step's sectors by `ids` would do to the view."""
        columns = step.columns
        before, sectors = view.ids[columns], self._sectors[columns]
        changed = before != ids
        where = sectors[changed]
        delta = np.bitwise_xor.reduce(
            hashes(where, ids[changed]) ^ hashes(where, before[changed]), initial=np.uint64(0)
        )
        wrong = self._nothing_wrong
        if self._of_slots[columns].any():
            wrong = np.array(
                [
                    [
                        _count(ids, image[columns]) - _count(before, image[columns])
                        for image in images
                    ]
                    for images in self._expected
                ],
                np.int64,
            ).reshape(self._shape)
        relevant = bool((changed & self._is_tracked[columns]).any())
        return Change(step, ids, delta, wrong, relevant)

    # What a power cut leaves

    def _emit(self, at: int, record: Record) -> None:
        self._counter = Counter[StateKind]()
        doubtful = self._doubtful()
        if self._whole is None:
            self._whole = self._kind_of(self._now, None)
        everything = self._whole
        self._add(everything, f"{at}/{_ALL}", self._now.hash)
        if doubtful and self.writes.model is not Model.SD:
            rest = self._promised_only()
            nothing = self._kind_of(rest, None)
            self._add(nothing, f"{at}/{_NONE}", rest.hash)
            for step in doubtful:
                position = step.record.position
                for kind, view, plain, change in (
                    (LossKind.WITHOUT, self._now, everything, self._without(step)),
                    (LossKind.ONLY, rest, nothing, self._only(step, rest)),
                ):
                    loss = Loss(kind=kind, position=position)
                    found = self._varied(view, plain, change)
                    self._add(found, f"{at}/{loss}", view.hash ^ change.hash)
        newest = doubtful[-1] if doubtful and doubtful[-1].record is record else None
        if newest and len(newest.ids) > 1:
            self._tear(newest, at)
        if self._counter.total() == 1:  # of a card nearly all: a few counters do for them
            self._counter = self._alone.setdefault(next(iter(self._counter)), self._counter)
        self.points[at] = self._counter

    def _doubtful(self) -> list[Step]:
        """Writes that a power cut may take: the newest, and those that nothing promised."""
        newest = self._open[-1:] if self._open else []
        return [s for s in self._open[:-1] if not s.record.fua] + newest

    def _promised_only(self) -> View:
        """What is there when everything in doubt is lost."""
        promised = [step for step in self._open[:-1] if step.record.fua]
        if not promised:
            return self._stable
        stable = self._stable
        view = View(stable.ids.copy(), stable.hash, stable.wrong.copy())
        for step in promised:
            _apply(view, self._difference(view, step, step.ids))
        return view

    def _without(self, step: Step) -> Change:
        if "without" not in step.changes:
            ids = self._stable.ids[step.columns].copy()
            for other in self._open:
                if other is not step and other.overlaps(step):
                    _lay_over(ids, step, other)
            step.changes["without"] = self._difference(self._now, step, ids)
        return step.changes["without"]

    def _only(self, step: Step, rest: View) -> Change:
        if "only" not in step.changes:
            ids = step.ids.copy()
            for other in self._open[self._open.index(step) + 1 : -1]:
                if other.record.fua and other.overlaps(step):
                    _lay_over(ids, step, other)
            step.changes["only"] = self._difference(rest, step, ids)
        return step.changes["only"]

    def _varied(self, view: View, unchanged: StateKind, change: Change) -> StateKind:
        """The kind of a view with one change; most of them change nothing that matters."""
        if change.relevant or change.wrong.any():
            return self._kind_of(view, change)
        return unchanged

    def _tear(self, step: Step, at: int) -> None:
        """The newest write after 1 .. n-1 of its sectors, all others kept."""
        whole = self._without(step)
        columns, count = step.columns, len(step.ids)
        sectors, missing = self._sectors[columns], whole.ids
        each = hashes(sectors, missing) ^ hashes(sectors, step.ids)
        tails = np.bitwise_xor.accumulate(each[::-1])[::-1][1:]  # sector s and all after it missing
        self._hashes.frombytes((self._now.hash ^ tails).tobytes())
        wrongs = [
            [_tail(missing, step.ids, image[columns]) for image in images]
            for images in self._expected
        ]
        touched = (missing != step.ids) & self._is_tracked[columns]
        before: npt.NDArray[np.bool_] | None = None
        found = None
        for kept in range(1, count):
            wrong = np.array([[w[kept] for w in each] for each in wrongs], np.int64)
            wrong = wrong.reshape(self._shape)
            # Torn one sector later is the same kind unless that sector matters.
            equal = (self._now.wrong + wrong) == 0
            if found is None or before is None or touched[kept - 1] or (equal != before).any():
                ids = np.concatenate((step.ids[:kept], missing[kept:]))
                torn = Change(step, ids, np.uint64(0), wrong, relevant=True)
                found = self._kind_of(self._now, torn)
            before = equal
            loss = Loss(kind=LossKind.TORN, position=step.record.position, sectors=kept)
            self._count_in(found, f"{at}/{loss}")

    def _kind_of(self, view: View, change: Change | None) -> StateKind:
        """The kind of a view in which the sectors of one step are replaced."""
        wrong = view.wrong if change is None else view.wrong + change.wrong
        ids = view.ids[self._tracked]
        if change and change.relevant:
            columns = change.step.columns
            first, end = np.searchsorted(self._tracked, (columns.start, columns.stop))
            ids[first:end] = change.ids[self._tracked[first:end] - columns.start]
        slots = tuple(
            images.named(w.tolist())
            for images, w in zip(self._landscape.slots.values(), wrong, strict=True)
        )
        picture = self._landscape.picture(ids, self.writes.base)
        return self._classes.kind(picture, slots, factory=self._factory)

    def _add(self, found: StateKind, state: str, content: np.uint64) -> None:
        self._hashes.append(int(content))
        self._count_in(found, state)

    def _count_in(self, found: StateKind, state: str) -> None:
        self._counter[found] += 1
        self._classes.add(found, self._prefix + state)


def _apply(view: View, change: Change) -> None:
    view.ids[change.step.columns] = change.ids
    view.hash ^= change.hash
    view.wrong += change.wrong


def _count(ids: Ids, image: Ids) -> int:
    """Sectors that differ from an image; those that no image covers do not."""
    return int(np.count_nonzero((ids != image) & (image != _NO_IMAGE)))


def _tail(missing: Ids, new: Ids, image: Ids) -> npt.NDArray[np.int64]:
    """For each s: how many more sectors differ from the image when those from s on are missing."""
    covered = image != _NO_IMAGE
    more = ((missing != image) & covered).astype(np.int64) - ((new != image) & covered)
    return np.cumsum(more[::-1])[::-1]


def _lay_over(ids: Ids, step: Step, other: Step) -> None:
    """Another step's content over what `ids` says of the sectors of `step`."""
    first = max(step.first, other.first)
    end = min(step.first + len(step.ids), other.first + len(other.ids))
    ids[first - step.first : end - step.first] = other.ids[first - other.first : end - other.first]
