"""How large a sample of what was decided without a boot must be."""

SAMPLE = 20  # pruned states, or
SAMPLE_SHARE = 0.05  # this share of the boots, whichever is more


def least_sample(boots: int, least: int = SAMPLE) -> int:
    """How many states are sampled when so many have been booted, if there are as many."""
    return max(least, round(SAMPLE_SHARE * boots))
