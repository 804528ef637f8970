"""All states of an exploration in classes, under one footprint; and which of them a boot decides.

A boot decides a class when it agrees with it in all that it has read, in what fills the slots, and
in what is told apart (`footprint` says why that is enough). Of the factory's first boot less is
asked, so neither decides the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.crash.equivalence.classes import Classes, StateClass
from harness.crash.equivalence.enumeration import Enumerated, Enumeration
from harness.crash.equivalence.footprint import Footprint, Picture
from harness.crash.exploration.booted import Booted

if TYPE_CHECKING:
    from harness.crash.exploration.ways_back import WaysBack


class Classified:
    """`logs`: the states of each log, as they were put into `classes`."""

    def __init__(
        self, footprint: Footprint, classes: Classes, logs: Mapping[Enumeration, Enumerated]
    ) -> None:
        self.footprint, self.classes, self.logs = footprint, classes, logs
        self._looks: dict[Booted, StateClass] = {}

    def look(self, booted: Booted) -> StateClass:
        """A class with the picture of a booted state; it is not among `classes`."""
        if booted not in self._looks:
            picture = self.footprint.picture_of(booted.content)
            self._looks[booted] = StateClass(picture, booted.slots, booted.proof.factory)
        return self._looks[booted]

    def decided(
        self, deciders: Iterable[Booted], ways_back: "WaysBack"
    ) -> dict[StateClass, Booted]:
        """Which boot decides which class: the first one that agrees, by its way back, too."""
        found: dict[StateClass, Booted] = {}
        left = list(self.classes)
        for each in deciders:
            if not left:
                break
            agree = ways_back.held(each, left, self.agreeing(each, left))
            found |= {one: each for one, yes in zip(left, agree, strict=True) if yes}
            left = [one for one, yes in zip(left, agree, strict=True) if not yes]
        return found

    def agreeing(self, booted: Booted, classes: Sequence[StateClass]) -> list[bool]:
        """Which of the classes a boot decides."""
        mine = self.look(booted)
        mask = booted.reads[self.footprint.seen]
        wanted = mine.picture.seen[mask]
        return [
            one.slots == mine.slots
            and one.factory == mine.factory
            and one.picture.odd == mine.picture.odd
            and bool(np.array_equal(one.picture.seen[mask], wanted))
            # What readers have told apart, nothing from elsewhere decides.
            and not (booted.carried and self.footprint.is_apart(one.picture))
            for one in classes
        ]

    def rule(self, picture: Picture, by: Booted) -> str:
        """How a boot decides a state of that picture: by its read set alone, or after recovery; or
        as one of another recording."""
        if by.carried:
            return "carried"
        mask = by.reads[self.footprint.tracked]
        same = np.array_equal(picture.ids[mask], self.look(by).picture.ids[mask])
        return "read-set" if same else "recovery"
