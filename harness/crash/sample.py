"""Which of the states that another boot decided are booted all the same: a seeded choice."""

import random

from harness.crash.exploration import Exploration

SAMPLE = 20  # pruned states, or
SAMPLE_SHARE = 0.05  # this share of the boots, whichever is more


def least_sample(boots: int) -> int:
    """How many states are sampled when so many have been booted, if there are as many."""
    return max(SAMPLE, round(SAMPLE_SHARE * boots))


def choose_sample(exploration: Exploration) -> list[str]:
    """What is still to be sampled; empty when enough was, or no pruned state is left.

    One half among all cut points, where bulk data wins, one half among the kinds of states, where
    the odd ones have the same chance.
    """
    decided = exploration.decided()
    booted = {each.proof.state for each in exploration.booted}
    kinds = [
        (kind.count, left)
        for each in exploration.classes
        if each in decided
        for kind in each.kinds
        if (left := [state for state in kind.states if state not in booted])
    ]
    have = len(exploration.samples())
    boots = sum(not each.sample for each in exploration.booted)
    chance = random.Random(exploration.seed)  # noqa: S311 - reproducible, not secret
    chosen: list[str] = []
    while kinds and have + len(chosen) < least_sample(boots):
        weights = [count for count, _ in kinds] if len(chosen) % 2 else None
        (index,) = chance.choices(range(len(kinds)), weights)
        left = kinds[index][1]
        chosen.append(left.pop(chance.randrange(len(left))))
        if not left:
            del kinds[index]
    return chosen
