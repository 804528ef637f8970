"""Kinds of losses that a power cut can bring, and which of them are tried in full."""

from enum import StrEnum


class Family(StrEnum):
    """Kinds of losses, by how many of the writes in doubt go another way than the others."""

    ALL = "all"
    NONE = "none"
    SINGLE = "single"  # one is lost alone, or kept alone
    TORN = "torn"  # the newest is torn, at each of its sectors; all others are kept
    BORDER = "border"  # another one is, or one alone is kept in part; at the borders (`tears`)
    PAIR = "pair"  # two are lost, or kept, together
    SUBSET = "subset"  # a seeded coin for each of them

    @property
    def sampled(self) -> bool:
        """Whether only some of its losses are tried."""
        return self is Family.SUBSET

    @property
    def compared(self) -> bool:
        """Whether its states are compared by their whole content, and not only by what matters."""
        return self in (Family.ALL, Family.NONE, Family.SINGLE, Family.TORN)
