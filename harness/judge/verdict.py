"""The words in which a board's end is judged; every other part speaks them."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a board ended; only the last two are failures."""

    OLD = "old"  # runs the old version, healthy
    NEW = "new"  # runs the new version, healthy
    RECOVERED = "recovered"  # reached old or new, but only after further automatic boots
    BRICKED = "bricked"  # no healthy system within the boot budget without outside help
    INCONSISTENT = "inconsistent"  # it runs, but an invariant is broken

    @property
    def failed(self) -> bool:
        """Whether no release may ship with it."""
        return self in (Verdict.BRICKED, Verdict.INCONSISTENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """Something that must hold whatever happened; `detail` says what was seen when it did not."""

    name: str
    holds: bool
    detail: str = ""
