"""What is a product's own to choose about its updates.

It is declared in the recipe, kept in each release, and what the product is judged by.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.product.keys import Keys

DOWNGRADES = ("allowed", "refused")
HEALTH = ("once", "repeatedly")
MOST_ATTEMPTS = 9
_DAY = 86_400  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """The defaults are what most products do."""

    downgrades: str = "allowed"  # allowed | refused: an update to an older version
    attempts: int = 3  # boots that a version on trial gets
    soak: int = 0  # seconds that a good version may stay on trial, beside what a boot takes
    health: str = "once"  # once | repeatedly: how often a boot says whether it is well


def named(keys: Keys) -> dict[str, Any]:
    """The promises that a mapping has below `promises`, by the names of `Promises`."""
    section = keys.section("promises", default={})
    read: dict[str, Callable[[], object]] = {
        "downgrades": lambda: section.text("downgrades", allowed=DOWNGRADES),
        "attempts": lambda: section.number("attempts", most=MOST_ATTEMPTS),
        "soak": lambda: section.number("soak", least=0, most=_DAY),
        "health": lambda: section.text("health", allowed=HEALTH),
    }
    for name in read:
        section.used(name)
    found = {name: value() for name, value in read.items() if section.peek(name) is not None}
    section.finish()
    return found
