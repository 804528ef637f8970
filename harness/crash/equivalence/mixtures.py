"""What a power cut can make of the writes in doubt at one log position: each mixture that is tried.

There are two sides to start from: all kept, and all lost. From each one write is taken alone, whole
or in part, and each two; beyond that a few mixtures are drawn (docs/crash.md has the table).

With a hundred writes in doubt there are ten thousand mixtures at a position, and most writes change
nothing that matters. So mixtures are counted by what they come to: only those of writes that matter
are made, the others are numbers, and each can still be named (`name` gives the n-th of them). That
is exact, and no estimate, as long as two things hold:

- a write that is idle (it changes no tracked sector, and no slot) makes no other kind, alone or
  together with any other one that does not overlap it;
- two writes that overlap, of which one matters, are never counted that way: what lies on top is not
  the sum of both. They are laid over each other in the order of the log (`_laid`).

If a mixture were counted into the wrong kind it would get that kind's verdict without a boot.
`tests/unit/crash/test_enumeration.py` compares with each mixture made in full.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import combinations, islice
from math import comb

import numpy as np

from harness.crash.equivalence.changes import Change, Counts, IssuedWrite, LogContent, Relevance
from harness.crash.equivalence.classes import Classes, StateKind
from harness.crash.equivalence.families import Family
from harness.crash.states.cut import CrashState, Cut
from harness.medium.loss import choose
from harness.medium.model import Loss, LossKind

PAIRS_FROM = 4  # of three writes in doubt, two lost are one kept
SUBSETS_FROM = 6  # of five, any mixture is one of all, none, one or two
_NO_PAIR = -1
SEEDS = 4  # mixtures drawn at a position; so many again with one of the kept writes torn

Name = Callable[[int], Loss]
Pair = tuple[int, int]  # of two writes in doubt, by number, the older one first


@dataclass(slots=True, eq=False)
class Side:
    """Where mixtures start: everything kept (`word` is `without`), or everything lost (`only`)."""

    word: LossKind
    view: LogContent
    plain: StateKind
    changes: list[Change]  # for each write in doubt, what becomes of the view by it alone
    kinds: dict[int, StateKind] = field(
        default_factory=dict
    )  # that this makes, where it is another

    @property
    def head(self) -> bool:
        """Whether what is named is what is kept."""
        return self.word is LossKind.ONLY

    def kind(self, index: int) -> StateKind:
        """That one write alone makes."""
        return self.kinds.get(index, self.plain)


class Mixtures:
    """Counts them, into `classes` and into `kinds` and `families`, which are of this position.

    `opened`: the writes in doubt, oldest first, and others between them that are stable all the
    same; `stable`: what is under all of them; `state`: what a mixture is.
    """

    def __init__(
        self,
        relevance: Relevance,
        classes: Classes,
        opened: Sequence[IssuedWrite],
        stable: LogContent,
        state: Callable[[Loss], CrashState],
    ) -> None:
        self._relevance, self._classes, self._state = relevance, classes, state
        self._opened, self._stable = opened, stable
        # The newest one may not have been answered, so nothing promises it.
        doubtful = [step for step in opened[:-1] if not step.promised] + list(opened[-1:])
        self.doubtful = doubtful
        self.kinds, self.families = Counter[StateKind](), Counter[Family]()
        places = {id(step): index for index, step in enumerate(doubtful)}
        self._clashes = [
            (places[id(older)], index)
            for index, step in enumerate(doubtful)
            for older in step.clashes
            if id(older) in places and (step.matters or older.matters)
        ]

    def count(self, family: Family, kind: StateKind, number: int, name: Name) -> None:
        """So many mixtures of one kind; `name` gives the loss of each."""
        if number:
            self.kinds[kind] += number
            self.families[family] += number
            self._classes.add(kind, number, lambda index: self._state(name(index)))

    def _kind(self, side: Side, changes: Sequence[Change]) -> StateKind:
        """The kind of changes that do not overlap."""
        wrong = sum((change.wrong for change in changes), side.view.wrong)
        relevant = [change for change in changes if change.relevant]
        if not relevant and ((wrong == 0) == (side.view.wrong == 0)).all():
            return side.plain
        return self._relevance.kind(self._classes, side.view, relevant, wrong)

    # One write

    def singles(self, side: Side) -> None:
        """Each write lost, or kept, alone; before `pairs`."""
        for index, change in enumerate(side.changes):
            if change.active:
                side.kinds[index] = self._kind(side, [change])
                self._named(Family.SINGLE, side, side.kinds[index], [(index,)])
        idle = [(index,) for index in range(len(self.doubtful)) if index not in side.kinds]
        self._named(Family.SINGLE, side, side.plain, idle)

    def _named(
        self, family: Family, side: Side, kind: StateKind, indexes: Sequence[tuple[int, ...]]
    ) -> None:
        self.count(family, kind, len(indexes), lambda number: self._loss(side, indexes[number]))

    def _loss(self, side: Side, indexes: Iterable[int], sectors: int = 0) -> Loss:
        first, *others = (self.doubtful[index].record.position for index in indexes)
        word = LossKind.TORN if sectors and not side.head else side.word
        return Loss(kind=word, position=first, others=tuple(others), sectors=sectors)

    def tear(self, family: Family, side: Side, index: int, cuts: Counts) -> None:
        """One write torn after so many sectors, all the others kept or lost."""

        def name(begin: int) -> Name:
            return lambda number: self._loss(side, (index,), int(cuts[begin + number]))

        change = side.changes[index]
        if not self.doubtful[index].matters or self._relevance.never_fills(side.view, change):
            self.count(family, side.plain, len(cuts), name(0))
        elif len(cuts):
            for begin, end, part in self._relevance.torn(side.view, change, cuts, head=side.head):
                self.count(family, self._kind(side, [part]), end - begin, name(begin))

    # Two writes

    def pairs(self, side: Side) -> None:
        """Each two of them lost, or kept, together."""
        active, count = list(side.kinds), len(self.doubtful)
        idle = [index for index in range(count) if index not in side.kinds]
        clashing = [(i in side.kinds) + (j in side.kinds) for i, j in self._clashes]
        quiet = comb(len(idle), 2) - clashing.count(0)
        self._nth(side, side.plain, quiet, lambda: combinations(idle, 2))
        for index in active:
            with_it = [i + j - index for i, j in self._clashes if index in (i, j)]
            number = len(idle) - sum(other not in side.kinds for other in with_it)
            self._nth(side, side.kind(index), number, partial(_with, index, idle))
        self._active(side, active)
        for clash in self._clashes:
            kept = set(clash) if side.head else set(range(count)) - set(clash)
            pieces = self._laid(side.view, clash, dict.fromkeys(kept))
            self._named(Family.PAIR, side, self._kind(side, [pieces]), [clash])

    def _nth(
        self, side: Side, kind: StateKind, number: int, pairs: Callable[[], Iterable[Pair]]
    ) -> None:
        """Pairs of one kind, too many to list them; those that clash are not among them."""
        clashes = set(self._clashes)

        def name(index: int) -> Loss:
            apart = (pair for each in pairs() if (pair := _ordered(each)) not in clashes)
            return self._loss(side, next(islice(apart, index, None)))

        self.count(Family.PAIR, kind, number, name)

    def _active(self, side: Side, active: Sequence[int]) -> None:
        """Pairs of which both matter. What fills the slots is all that tells those apart that only
        touch slots; a relevant one makes kinds of its own with each of these, and with each other
        relevant one."""
        if len(active) < 2:
            return
        filled = self._filled(side, active)
        loud = np.array([side.changes[index].relevant for index in active])
        quiet = ~loud
        self._group_by_fill(side, active, np.where(quiet[:, None] & quiet, filled, _NO_PAIR))
        both = np.where(loud[:, None] & loud, filled, _NO_PAIR)
        for i, j in np.argwhere(both != _NO_PAIR).tolist():
            self._group(side, active, np.array([[i, j]]))
        for one in np.flatnonzero(loud) if quiet.any() else ():
            here = np.zeros_like(filled, np.bool_)
            here[one, :] = here[:, one] = quiet
            self._group_by_fill(side, active, np.where(here, filled, _NO_PAIR))

    def _filled(self, side: Side, active: Sequence[int]) -> Counts:
        """For each two of the writes which slots are filled by what, as a number."""
        each = np.stack([side.changes[index].wrong.ravel() for index in active])
        right = each[:, None, :] + each[None, :, :] + side.view.wrong.ravel() == 0
        found: Counts = right @ (1 << np.arange(each.shape[1]))
        found[np.tril_indices(len(active))] = _NO_PAIR
        place = {index: number for number, index in enumerate(active)}
        for i, j in self._clashes:
            if i in place and j in place:
                found[place[i], place[j]] = _NO_PAIR
        return found

    def _group_by_fill(self, side: Side, active: Sequence[int], filled: Counts) -> None:
        for each in np.unique(filled):
            if each != _NO_PAIR:
                self._group(side, active, np.argwhere(filled == each))

    def _group(self, side: Side, active: Sequence[int], pairs: Counts) -> None:
        """Pairs of one kind, as places in `active`."""

        def name(number: int) -> Loss:
            return self._loss(side, [active[place] for place in pairs[number]])

        changes = [side.changes[active[place]] for place in pairs[0]]
        self.count(Family.PAIR, self._kind(side, changes), len(pairs), name)

    # More writes

    def subsets(self, rest: Side, drawn: Sequence[int]) -> None:
        """Mixtures that are drawn, by the medium's own choice (`harness.medium.loss`)."""

        def loss(index: int) -> Loss:
            word = (LossKind.SOME, LossKind.TORN)[index % 2]
            return Loss(kind=word, seed=drawn[index // 2])

        number = 2 * len(drawn)
        if not any(step.matters for step in self.doubtful):
            self.count(Family.SUBSET, rest.plain, number, loss)
            return
        lengths = [step.record.length for step in self.doubtful]
        for each in map(loss, range(number)):
            fate = choose(lengths, each)
            kept: dict[int, int | None] = dict.fromkeys(fate.kept)
            kept.update([fate.torn] if fate.torn else [])
            self.count(Family.SUBSET, self._mixed(rest, kept), 1, partial(_always, each))

    def _mixed(self, rest: Side, kept: Mapping[int, int | None]) -> StateKind:
        """Any writes kept, some of them only in part."""
        mattering = [index for index in kept if self.doubtful[index].matters]
        if self._clashes:
            return self._kind(rest, [self._laid(rest.view, mattering, kept)] if mattering else [])
        changes = []
        for index in mattering:
            change, sectors = rest.changes[index], kept[index]
            if sectors is not None:
                cuts = np.array([sectors])
                ((_, _, change),) = self._relevance.torn(rest.view, change, cuts, head=True)
            changes.append(change)
        return self._kind(rest, changes)

    def _laid(
        self, view: LogContent, changed: Iterable[int], kept: Mapping[int, int | None]
    ) -> Change:
        """What the sectors of `changed` writes become when `kept` ones are laid over each other,
        after so many sectors or whole, and those that are stable all the same."""
        steps = [self.doubtful[index] for index in changed]
        where = [np.arange(s.columns.start, s.columns.stop) for s in steps]
        columns = np.unique(np.concatenate(where))
        ids = self._stable.ids[columns]
        parts = {id(self.doubtful[index]): sectors for index, sectors in kept.items()}
        unsure = {id(step) for step in self.doubtful}
        for step in self._opened:
            if id(step) in parts or id(step) not in unsure:
                step.lay_over(ids, columns, parts.get(id(step)))
        return self._relevance.difference(view, columns, ids)


def family(cut: Cut) -> Family:
    """The kind of a power cut's loss."""
    loss = cut.loss
    if loss.kind in (LossKind.ALL, LossKind.NONE):
        return Family(str(loss.kind))
    if not loss.positions:
        return Family.SUBSET
    if loss.sectors:
        newest = loss.kind is LossKind.TORN and loss.position == cut.at - 1
        return Family.TORN if newest else Family.BORDER
    return Family.PAIR if loss.others else Family.SINGLE


def seeds(seed: int, at: int) -> list[int]:
    """Of the mixtures drawn at a log position: 0, which is what a cut takes that names no seed, and
    others that differ from one exploration's seed to the next."""
    drawn = [blake2b(f"{seed} {at} {n}".encode(), digest_size=4).digest() for n in range(1, SEEDS)]
    return [0, *(int.from_bytes(each) for each in drawn)]


def _with(one: int, others: Iterable[int]) -> Iterator[Pair]:
    return ((one, other) for other in others)


def _always(loss: Loss, _: int) -> Loss:
    return loss


def _ordered(pair: Pair) -> Pair:
    return (pair[0], pair[1]) if pair[0] < pair[1] else (pair[1], pair[0])
