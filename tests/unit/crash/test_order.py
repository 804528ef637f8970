"""Which classes come first: large ones and odd ones in turns."""

import numpy as np

from harness.crash.equivalence.classes import StateClass, StateKind
from harness.crash.equivalence.footprint import Picture
from harness.crash.equivalence.order import in_turns
from harness.crash.states.chunks import ChunkStore
from harness.crash.states.cut import parse


def state_class(at: int, count: int, seen: list[int], odd: bytes = b"") -> StateClass:
    kept = ChunkStore().keep(np.array(seen, np.uint32))
    picture = Picture(kept_ids=kept, kept_seen=kept, digest=b"", seen_digest=b"", odd=odd)
    one = StateClass(picture, ())
    one.kinds.append(StateKind(one, picture, count, [parse(f"{at}/all")]))
    return one


def positions(classes: list[StateClass]) -> list[int]:
    return [one.kinds[0].states[0].first.at for one in in_turns(classes)]


def test_a_small_odd_class_is_not_the_last_one() -> None:
    """Hundreds of classes with more cut points, and one with a torn journal among them."""
    many = [state_class(n, 1000 - n, [n, 0, 0]) for n in range(300)]
    odd = state_class(999, 1, [0, 0, 0], b"torn")
    assert positions([*many, odd])[:2] == [0, 999]


def test_what_is_rarely_different_comes_before_what_often_is() -> None:
    often = [state_class(n, 50 - n, [n, 0, 0]) for n in range(40)]
    rare = state_class(99, 30, [0, 0, 7])
    assert positions([*often, rare])[:2] == [0, 99]


def test_each_class_comes_once() -> None:
    classes = [state_class(n, n + 1, [n % 3, n % 2]) for n in range(30)]
    assert sorted(positions(classes)) == list(range(30))
    assert positions([]) == []
    assert positions(classes[:1]) == [0]
