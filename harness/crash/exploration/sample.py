"""Which of the states that another boot decided are booted all the same: a seeded choice."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.crash.equivalence.footprint import Picture
from harness.crash.exploration.booted import Booted
from harness.crash.exploration.exploration import Exploration
from harness.crash.results.sampling import SAMPLE, least_sample
from harness.crash.states.cut import CrashState

OF_EACH_RULE = 3  # for each rule that decided something, whatever `sampling` says


@dataclass(eq=False, slots=True)
class _Candidates:
    """States of one kind that one rule decided; `count`: its cut points."""

    rule: str
    count: int
    states: list[CrashState]


def choose_sample(exploration: Exploration, least: int = SAMPLE) -> list[CrashState]:
    """What is still to be sampled, `least` states; empty when enough was, or none is left.

    A few for each rule; of the others one half among all cut points, where bulk data wins, one half
    among the kinds of states, where the odd ones have the same chance.
    """
    left = list(_candidates(exploration))
    samples = exploration.samples()
    had = Counter(
        _rule(exploration, each.proof.state, exploration.look(each).picture, by)
        for each, by in samples
    )
    boots = sum(not each.sample for each in exploration.booted)
    wanted = least_sample(boots, least) - len(samples)
    chance = random.Random(exploration.seed)  # noqa: S311 - reproducible, not secret
    chosen: list[CrashState] = []
    for rule in sorted({each.rule for each in left}):
        of_rule = [each for each in left if each.rule == rule]
        chosen += _draw(chance, of_rule, max(0, OF_EACH_RULE - had[rule]))
    rest = _draw(chance, left, wanted - len(chosen))
    return [*chosen, *rest]


def _draw(chance: random.Random, among: Iterable[_Candidates], number: int) -> Iterator[CrashState]:
    left = [each for each in among if each.states]
    for turn in range(number):
        if not left:
            return
        weights = [each.count for each in left] if turn % 2 else None
        (index,) = chance.choices(range(len(left)), weights)
        states = left[index].states
        yield states.pop(chance.randrange(len(states)))
        if not states:
            del left[index]


def _candidates(exploration: Exploration) -> Iterator[_Candidates]:
    decided = exploration.decided()
    booted = {each.proof.state for each in exploration.booted}
    for one in exploration.classified().classes:
        by = decided.get(one)
        for kind in one.kinds if by else ():
            rules: dict[str, list[CrashState]] = {}
            for state in kind.states:
                if by and state not in booted:
                    rules.setdefault(_rule(exploration, state, kind.picture, by), []).append(state)
            for rule, states in rules.items():
                yield _Candidates(rule, kind.count, states)


def _rule(exploration: Exploration, state: CrashState, picture: Picture, by: Booted) -> str:
    """By which rule a boot decides a state of that picture."""
    if exploration.equal(state, picture, by):
        return "equal-content"
    return exploration.rule(picture, by)
