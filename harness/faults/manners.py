"""How an update server may answer, within HTTP or in its name, and not as the one that was tested.

RFC 9110 lets a server ignore Range (14.2), send elsewhere, and not say how long its answer is; a
captive portal answers whatever was asked with a page of its own.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Manner(StrEnum):
    """What the server does to requests for files."""

    NO_RANGES = "no-ranges"  # the whole file, whatever range was asked for
    NO_ETAG = "no-etag"  # nothing says which file it is
    CHUNKED = "chunked"  # nor how long; and no ranges
    REDIRECT = "redirect"  # the file is elsewhere
    NO_IF_RANGE = "no-if-range"  # a range for whoever asks, also where another file had the name
    PORTAL = "portal"  # a page instead of the file, a few times
    PORTAL_RANGES = "portal-ranges"  # the same; the page is a file, which gives ranges
    CHANGED = "changed"  # another file takes its name while it is downloaded


PORTALS = (Manner.PORTAL, Manner.PORTAL_RANGES)
_AT_MOST = 3  # answers about a file that has no end


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFault:
    """Prints as `server:no-ranges`, `server:portalx2`; `times` of a portal's pages."""

    manner: Manner
    times: int = 1

    def __str__(self) -> str:
        times = f"x{self.times}" if self.manner in PORTALS and self.times > 1 else ""
        return f"server:{self.manner}{times}"

    @property
    def answers(self) -> int:
        """So many may be about something else than the file."""
        return _AT_MOST if self.manner is Manner.NO_IF_RANGE else self.times

    @classmethod
    def parse(cls, text: str) -> "ServerFault":
        """Read the printed form back; raises ValueError."""
        found = re.fullmatch(r"server:([a-z-]+?)(?:x([1-9]\d?))?", text)
        if not found or found[1] not in list(Manner):
            raise ValueError(f"{text!r} is none of {', '.join(f'server:{m}' for m in Manner)}")
        if found[2] and found[1] not in PORTALS:
            raise ValueError(f"{text!r}: only a portal comes so many times")
        return cls(manner=Manner(found[1]), times=int(found[2] or 1))
