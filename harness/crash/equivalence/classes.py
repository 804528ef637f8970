"""Crash states put together: which of them must end alike, and by which rule.

A *kind* has the same content in every tracked sector, the journal's included, and the same in the
slots: whatever a boot so far has read, it reads the same of all states of a kind. A *class* is made
of the kinds that are the same once the journal is recovered, which somebody does before anything of
the file system is used. So one boot decides a whole class, as long as it reads no sector that was
not tracked; if it does, there are more tracked ones from then on, and all classes are made anew.

Two kinds are one class only if what their readers refuse is the same, too (`Picture.odd`), the same
version fills each slot (the judge reads all of it), and both are of the factory's first boot, or
neither (less is asked there). A class that is too large would give states a verdict that is not
theirs. Of each kind a few states are remembered, drawn with the same chance for each cut point: the
audit gives them to the real readers, and the sample boots them, to notice that.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness.crash.equivalence.footprint import Picture
from harness.crash.states.cut import CrashState

KEPT = 4  # states of a kind that are remembered, each cut point with the same chance


@dataclass(eq=False, slots=True)
class StateKind:
    """States that no boot so far can have told apart by what it read."""

    parent: "StateClass"
    picture: Picture
    count: int = 0  # cut points
    states: list[CrashState] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class StateClass:
    """Kinds that no boot so far can have told apart once the journal was recovered."""

    picture: Picture
    slots: tuple[str, ...]  # what fills slot A, B: a version's name, or nothing known
    factory: bool = False  # cuts in the first boot: other questions, so never decided by others
    kinds: list[StateKind] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Cut points."""
        return sum(kind.count for kind in self.kinds)


class Classes:
    """All classes under one footprint; the seed decides which states are remembered."""

    def __init__(self, seed: int) -> None:
        self._classes: dict[tuple[bytes, bytes, tuple[str, ...], bool], StateClass] = {}
        self._kinds: dict[tuple[bytes, bytes, tuple[str, ...], bool], StateKind] = {}
        self._chance = random.Random(seed)  # noqa: S311 - a reproducible choice, not a secret

    def __iter__(self) -> Iterator[StateClass]:
        return iter(self._classes.values())

    def kind(self, picture: Picture, slots: tuple[str, ...], *, factory: bool) -> StateKind:
        """The kind of a picture."""
        key = (picture.digest, picture.seen_digest, slots, factory)
        found = self._kinds.get(key)
        if found is None:
            whole = StateClass(picture, slots, factory)
            seen = (picture.seen_digest, picture.odd, slots, factory)
            parent = self._classes.setdefault(seen, whole)
            found = self._kinds[key] = StateKind(parent, picture)
            parent.kinds.append(found)
        return found

    def add(self, kind: StateKind, number: int, name: Callable[[int], CrashState]) -> None:
        """So many more cut points of a kind; `name` gives the state of each."""
        old, new = kind.count, number
        kind.count += number
        if kind.count <= KEPT:
            kind.states += map(name, range(number))
            return
        chosen = 0  # of all that there are now, some are drawn: how many of them are new ones?
        for _ in range(KEPT):
            if self._chance.random() * (old + new) < new:
                chosen, new = chosen + 1, new - 1
            else:
                old -= 1
        if chosen:
            drawn = self._chance.sample(kind.states, KEPT - chosen)
            kind.states = drawn + [name(n) for n in self._chance.sample(range(number), chosen)]
