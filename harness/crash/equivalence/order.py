"""In which order classes of crash states are booted: the largest and the oddest ones in turns.

The largest decides most, and shows what all others are compared by. But what loses a device is
mostly small: a mixture that a few cut points have, a journal that ends in the middle. An
exploration that is ended early, or that looks for one bad state, must have seen both.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from harness.crash.equivalence.classes import StateClass

_MANY = 1000  # classes; of more of them nobody asks which differ in what


def in_turns(classes: Sequence[StateClass]) -> list[StateClass]:
    """All of them: most cut points, oddest, second most cut points, second oddest, ..."""
    largest = sorted(classes, key=lambda one: (-one.count, _first(one)))
    rare = _rarity(largest)
    oddest = sorted(classes, key=lambda one: (not one.picture.odd, rare[id(one)], one.count))
    return list(dict.fromkeys(_alternating(largest, oddest)))


def _alternating(first: Sequence[StateClass], second: Sequence[StateClass]) -> Iterator[StateClass]:
    for pair in zip(first, second, strict=True):
        yield from pair


def _rarity(classes: Sequence[StateClass]) -> dict[int, int]:
    """For each class in how many of them that sector differs from the first one's that differs in
    the fewest: what is changed by few writes is told from what each boot changes."""
    if not 1 < len(classes) <= _MANY:
        return {id(one): 0 for one in classes}
    usual = classes[0].picture.seen
    differs = [np.flatnonzero(one.picture.seen != usual) for one in classes]
    often = np.bincount(np.concatenate(differs), minlength=len(usual))
    return {
        id(one): int(often[where].min(initial=len(classes)))
        for one, where in zip(classes, differs, strict=True)
    }


def _first(one: StateClass) -> str:
    return str(one.kinds[0].states[0])
