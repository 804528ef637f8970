"""Every crash state of one write log, in order, each put into its kind.

For each log position: nothing in doubt kept, all kept, each write in doubt lost alone, each kept
alone, torn, two at a time, and some drawn mixtures (docs/crash.md has the table). A position is one
after which the power may go; a write is in doubt from its request until a flush has been answered.

There are millions of states and a disk each, so none is made that can be had from its neighbour:

- The contents at a position with everything kept differ from those at the one before by one write;
  those with everything lost change only at a flush. Both are kept as arrays and changed in place.
- What one write alone does to either of them stays the same for as long as no other write in doubt
  touches a sector of it. So it is worked out once, and forgotten when something comes to lie over
  it, or under it (`_forget_under`). A difference that is kept for too long would put states into
  kinds that are not theirs.
- The hash of a whole state is the XOR of a hash for each sector: a difference changes it by its
  own.

`tests/unit/crash/test_enumeration.py` names every state of small random logs one by one, makes its
whole content by other means, and wants the same numbers and kinds.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness.crash.equivalence import mixtures
from harness.crash.equivalence.changes import Change, IssuedWrite, LogContent, Relevance
from harness.crash.equivalence.classes import Classes, StateClass, StateKind
from harness.crash.equivalence.families import Family
from harness.crash.equivalence.footprint import Footprint
from harness.crash.equivalence.mixtures import Mixtures, Side
from harness.crash.equivalence.slots import SlotImages
from harness.crash.equivalence.tears import every_sector
from harness.crash.recording.phases import EVERYWHERE, Stretch
from harness.crash.states.contents import SECTOR, Ids, hashes
from harness.crash.states.cut import CrashState, Cut, cut_again
from harness.crash.states.writes import Writes
from harness.medium.log import CHANGES, LogRecord, RecordKind
from harness.medium.model import Loss, LossKind, Model

Hashes = npt.NDArray[np.uint64]
Tears = Callable[[LogRecord], npt.NDArray[np.int64]]
_NO_CUTS = np.empty(0, np.int64)
_NONE, _ALL = Loss(kind=LossKind.NONE), Loss(kind=LossKind.ALL)


@dataclass(frozen=True, slots=True, eq=False)
class Enumerated:
    """The crash states of one log. `hashes`: of the content of each state of the families ALL,
    NONE, SINGLE and TORN, as far as the log can change it; the others are put into their kinds
    without being made in full."""

    before: CrashState | None  # the state whose boot wrote the log; None: the recording's own
    points: dict[int, Counter[StateKind]]  # log position -> how many states of which kind
    families: Counter[Family]
    hashes: Hashes
    classes: tuple[StateClass, ...]  # in the order of the log

    @property
    def cut_points(self) -> int:
        """Number of crash states, equal ones counted as often as they occur."""
        return self.families.total()

    @property
    def distinct(self) -> int:
        """Number of different contents among those that are compared whole: see `hashes`."""
        return len(np.unique(self.hashes))


class Enumeration:
    """Names the crash states of a log: those of the power cuts in `stretches`.

    `before`: the state whose boot wrote the log. `seed` draws the mixtures that are drawn; `tears`
    says after which sectors a write is torn that is not the newest, or that is kept alone.
    """

    def __init__(
        self,
        writes: Writes,
        slots: Sequence[SlotImages] = (),
        stretches: Sequence[Stretch] = (EVERYWHERE,),
        *,
        before: CrashState | None = None,
        seed: int = 1,
        tears: Tears = every_sector,
    ) -> None:
        self.writes, self.slots, self.stretches, self.before = writes, slots, stretches, before
        self.seed, self.tears = seed, tears
        # What each write did to all before it: the same in every run, but for what is tracked.
        self.effects: dict[int, tuple[np.uint64, npt.NDArray[np.int64]]] = {}
        self.wrong = [images.wrong(writes.base) for images in slots]

    def run(self, footprint: Footprint, classes: Classes) -> Enumerated:
        """Go through all states, and put them into classes."""
        return _Pass(self, footprint, classes).run()


class _Pass:
    """Once through a log, under one footprint."""

    def __init__(self, of: Enumeration, footprint: Footprint, classes: Classes) -> None:
        self._of, self._classes = of, classes
        self._relevance = Relevance(footprint, of.slots, of.writes)
        self._stable = self._relevance.start(of.wrong)
        self._now = self._stable.copy()
        self._open: list[IssuedWrite] = []
        self._whole: StateKind | None = None  # the kind of `_now`, as long as nothing changes it
        self._points: dict[int, Counter[StateKind]] = {}
        self._shared: dict[tuple[StateKind, int], Counter[StateKind]] = {}
        self._families = Counter[Family]()
        self._hashes = array("Q")

    def run(self) -> Enumerated:
        """All of it, in order."""
        for record in self._of.writes.records:
            self._issue(record)
            stretch = next((s for s in self._of.stretches if record.position in s.records), None)
            if stretch and record.kind is not RecordKind.MARK:
                if stretch.factory != self._relevance.factory:
                    self._relevance.factory, self._whole = stretch.factory, None
                self._emit(record.position + 1, record)
        parents = dict.fromkeys(
            kind.parent for at in sorted(self._points) for kind in self._points[at]
        )
        hashes = np.frombuffer(self._hashes, np.uint64)
        return Enumerated(self._of.before, self._points, self._families, hashes, tuple(parents))

    # What the log does

    def _issue(self, record: LogRecord) -> None:
        """One record has been issued."""
        if record.kind in (RecordKind.FLUSH, RecordKind.CUT):
            # A cut in a recording is that of a board which had switched itself off: nothing lost.
            self._settle(len(self._open))
        elif record.kind in CHANGES:
            if self._of.writes.model is Model.SD:
                self._settle(max(0, len(self._open) - self._of.writes.window))
            self._add(self._step(record))

    def _step(self, record: LogRecord) -> IssuedWrite:
        ids, first = self._of.writes.ids(record), self._relevance.column(record.offset // SECTOR)
        columns = slice(first, first + len(ids))
        cuts = self._of.tears(record) if len(ids) > 1 else _NO_CUTS
        change = self._effect(record, columns, ids)
        return IssuedWrite(record, first, ids, self._relevance.matters(columns), cuts, change)

    def _add(self, step: IssuedWrite) -> None:
        step.clashes = [other for other in self._open if other.overlaps(step)]
        # Differences change with what lies over them, also when a FUA write has been answered.
        for news in (step, *(s for s in self._open[-1:] if s.promised)):
            self._forget_under(news)
        equal = self._now.wrong == 0
        self._now.apply(step.change)
        if step.change.active and (step.change.relevant or (equal != (self._now.wrong == 0)).any()):
            self._whole = None
        self._open.append(step)

    def _forget_under(self, step: IssuedWrite) -> None:
        for other in self._open:
            if other.overlaps(step):
                other.without = other.only = None

    def _settle(self, count: int) -> None:
        """The oldest open writes become stable, in the same order: they do there what they did."""
        for step in self._open[:count]:
            self._stable.apply(step.change)
            if count < len(self._open):
                self._forget_under(step)  # there is something else under the others now
        del self._open[:count]

    def _effect(self, record: LogRecord, columns: slice, ids: Ids) -> Change:
        """What the newest write does to all that had been issued before it."""
        known = self._of.effects.get(record.position)
        if known is None:
            change = self._relevance.difference(self._now, columns, ids)
            self._of.effects[record.position] = change.hash, change.wrong
            return change
        tracked = self._relevance.is_tracked[columns]
        relevant = tracked.any() and (tracked & (self._now.ids[columns] != ids)).any()
        return Change(columns, ids, *known, bool(relevant))

    # What a power cut leaves

    def _emit(self, at: int, record: LogRecord) -> None:
        def state(loss: Loss) -> CrashState:
            cut = Cut(at=at, loss=replace(loss, window=self._of.writes.window))
            return cut_again(self._of.before, cut)

        found = Mixtures(self._relevance, self._classes, self._open, self._stable, state)
        doubtful = found.doubtful
        if self._whole is None:
            self._whole = self._relevance.kind(self._classes, self._now)
        everything = self._whole
        found.count(Family.ALL, everything, 1, lambda _: _ALL)
        self._hashes.append(int(self._now.hash))
        mixed = self._of.writes.model is not Model.SD or self._of.writes.window
        if doubtful and (mixed or len(doubtful[-1].ids) > 1):
            changes = [self._without(step) for step in doubtful]
            kept = Side(LossKind.WITHOUT, self._now, everything, changes)
            if mixed:
                self._mix(found, at, kept)
            if len(doubtful[-1].ids) > 1:
                self._tear(found, kept)
        self._families.update(found.families)
        self._points[at] = found.kinds
        if len(found.kinds) == 1:  # of a card nearly all: a few counters do for them
            ((kind, number),) = found.kinds.items()
            self._points[at] = self._shared.setdefault((kind, number), found.kinds)

    def _mix(self, found: Mixtures, at: int, kept: Side) -> None:
        """All that is not a tear of the newest write."""
        view, doubtful = self._promised_only(), found.doubtful
        nothing = self._relevance.kind(self._classes, view)
        found.count(Family.NONE, nothing, 1, lambda _: _NONE)
        self._hashes.append(int(view.hash))
        changes = [self._only(step, view) for step in doubtful]
        lost = Side(LossKind.ONLY, view, nothing, changes)
        for side in (kept, lost):
            found.singles(side)
            each = np.array([change.hash for change in side.changes], np.uint64)
            self._hashes.frombytes((each ^ side.view.hash).tobytes())
            if len(doubtful) >= mixtures.PAIRS_FROM:
                found.pairs(side)
        if len(doubtful) > 1:
            for index, step in enumerate(doubtful):
                if not len(step.cuts):
                    continue
                found.tear(Family.BORDER, lost, index, step.cuts)
                if index < len(doubtful) - 1:
                    found.tear(Family.BORDER, kept, index, step.cuts)
        if len(doubtful) >= mixtures.SUBSETS_FROM:
            found.subsets(lost, mixtures.seeds(self._of.seed, at))

    def _tear(self, found: Mixtures, kept: Side) -> None:
        """The newest write after 1 .. n-1 of its sectors, all others kept."""
        step, change = found.doubtful[-1], kept.changes[-1]
        found.tear(Family.TORN, kept, len(found.doubtful) - 1, every_sector(step.record))
        sectors = self._relevance.sectors[step.columns]
        each = hashes(sectors, change.ids) ^ hashes(sectors, step.ids)
        tails = np.bitwise_xor.accumulate(each[::-1])[::-1][1:]  # sector s and all after it missing
        self._hashes.frombytes((self._now.hash ^ tails).tobytes())

    def _promised_only(self) -> LogContent:
        """What is there when everything in doubt is lost."""
        promised = [step for step in self._open[:-1] if step.promised]
        if not promised:
            return self._stable
        view = self._stable.copy()
        for step in promised:
            view.apply(self._relevance.difference(view, step.columns, step.ids))
        return view

    def _without(self, step: IssuedWrite) -> Change:
        if step.without is None:
            ids = self._stable.ids[step.columns].copy()
            for other in self._open:
                if other is not step:
                    other.lay_over(ids, step.columns)
            step.without = self._relevance.difference(self._now, step.columns, ids)
        return step.without

    def _only(self, step: IssuedWrite, rest: LogContent) -> Change:
        if step.only is None:
            ids = step.ids.copy()
            for other in self._open[self._open.index(step) + 1 : -1]:
                if other.promised:
                    other.lay_over(ids, step.columns)
            step.only = self._relevance.difference(rest, step.columns, ids)
        return step.only
