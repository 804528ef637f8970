"""What is wrong with the network all through a version's trial, as data."""

from enum import StrEnum

_FORM = "trial:"


class TrialFault(StrEnum):
    """From the reboot on until the version on trial is left for it."""

    LINK_DOWN = "link-down"  # the cable is out
    PORTAL = "portal"  # somebody else answers for the update server

    @property
    def printed(self) -> str:
        """What `parse` reads back."""
        return f"{_FORM}{self}"

    @classmethod
    def parse(cls, text: str) -> "TrialFault":
        """Read the printed form back; raises ValueError."""
        kind = text.removeprefix(_FORM)
        if kind == text or kind not in list(cls):
            raise ValueError(f"{text!r} is none of {', '.join(e.printed for e in cls)}")
        return cls(kind)
