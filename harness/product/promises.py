"""What is a product's own to choose about its updates.

It is declared in the recipe, kept in each release, and what the product is judged by.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from harness import schema

MOST_ATTEMPTS = 9
SHORTEST_DWELL = 75  # seconds: longer than a watchdog's 60, and than systemd takes to give up
_DAY = 86_400  # seconds

Downgrades = Literal["allowed", "refused"]  # an update to an older version
Attempts = Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)]  # boots that a version on trial gets
# Seconds that a good version may stay on trial, beside what a boot takes.
Soak = Annotated[int, Field(ge=0, le=_DAY)]
Health = Literal["once", "repeatedly"]  # how often a boot says whether it is well
# What becomes of a download that is disturbed: it goes on where it was; or it comes to its end in
# the same install, and what has come may be asked for again (from the beginning on, or, of a stream
# that is not stored, here and there); or the install is given up, and the next one begins anew.
Downloads = Literal["resumed", "restarted", "given-up"]
# Seconds that a version is watched after it was well; longer than any of its services' watchdogs.
Dwell = Annotated[int, Field(ge=SHORTEST_DWELL, le=_DAY)]
# Services that are wanted in each boot and may end, or begin anew, in good order: the one that is
# done after its first upload, the one that Restart=always calls again.
Ends = tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.@\\-]+\.service$", max_length=255)], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """The defaults are what most products do."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    downgrades: Downgrades = "allowed"
    attempts: Attempts = 3
    soak: Soak = 0
    health: Health = "once"
    downloads: Downloads = "resumed"
    dwell: Dwell = SHORTEST_DWELL
    ends: Ends = ()


class Changed(TypedDict, total=False):
    """Some of them, instead of those that a product makes otherwise."""

    __pydantic_config__ = schema.STRICT  # type: ignore[misc]
    downgrades: Downgrades
    attempts: Attempts
    soak: Soak
    health: Health
    downloads: Downloads
    dwell: Dwell
    ends: Ends
