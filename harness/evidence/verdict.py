"""The five ends a scenario on a device can have."""

from enum import StrEnum


class Verdict(StrEnum):
    """What became of the device, judged from outside; only the last two fail."""

    OLD = "old"  # runs the old version, healthy
    NEW = "new"  # runs the new version, healthy
    RECOVERED = "recovered"  # reached old or new, healthy, after more than the usual boots
    BRICKED = "bricked"  # no healthy system within the boot budget without outside help
    INCONSISTENT = "inconsistent"  # it runs, but an invariant is broken

    @property
    def failed(self) -> bool:
        """Whether this verdict fails whatever was expected."""
        return self in (Verdict.BRICKED, Verdict.INCONSISTENT)
