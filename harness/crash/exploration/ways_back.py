"""The way back from the probe, of states whose own boot was not asked for it.

A boot that was not asked to come back (`aspects`) has not read what is read then. So it decides
only states that are, in what is read then, like one that did come back, and well.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from harness.crash.equivalence.classes import StateClass
from harness.crash.equivalence.footprint import Mask
from harness.crash.exploration.booted import Booted
from harness.crash.exploration.classified import Classified


class WaysBack:
    """`there`: all boots that were asked to come back."""

    def __init__(self, classified: Classified, there: Sequence[Booted]) -> None:
        self._classified, self._seen = classified, classified.footprint.seen
        well = [each for each in there if not each.proof.verdict.failed]
        self._looks = [classified.look(each) for each in well]
        self._late = np.zeros(len(self._seen), np.bool_)
        for each in there:
            self._late |= each.late[self._seen]

    def held(
        self, by: Booted, classes: Sequence[StateClass], agreeing: Sequence[bool]
    ) -> list[bool]:
        """Which of the classes that agree with a boot it decides."""
        if by.proof.came_back or by.proof.verdict.failed:
            return list(agreeing)
        mask = self._late & ~by.reads[self._seen]
        if not mask.any():
            return list(agreeing)
        known = {_late(each, mask) for each in self._looks}
        return [
            yes and _late(one, mask) in known for one, yes in zip(classes, agreeing, strict=True)
        ]

    def decides(self, by: Booted, one: StateClass) -> bool:
        """Whether a boot decides a state."""
        return self.held(by, [one], self._classified.agreeing(by, [one]))[0]

    def known(self, one: StateClass, under_way: Iterable[StateClass]) -> bool:
        """Whether a boot has come back with what a state has where such boots read late; those
        `under_way` will."""
        if not self._late.any():
            return True
        wanted = _late(one, self._late)
        return any(_late(each, self._late) == wanted for each in (*self._looks, *under_way))


def _late(one: StateClass, mask: Mask) -> tuple[bool, bytes]:
    return one.factory, one.picture.seen[mask].tobytes()
