"""Other versions of the product under test, by whoever built it."""

from collections.abc import Collection, Sequence

from harness.builders import builder
from harness.builders.builder import Ability
from harness.product.release import Release
from harness.version import is_newer


def lacking(release: Release, wanted: Collection[str]) -> str:
    """Why not all of these variants can be made of the same product; empty when they can."""
    if why := builder.lacking(release, Ability.AGAIN):
        return why
    absent = set(wanted) - set(builder.of(release).variants(release))
    return f"the product has no variant {' and no '.join(sorted(absent))}" if absent else ""


def alike(
    release: Release, *, version: str, variants: Sequence[str] = (), follows: bool = False
) -> Release:
    """Another version of `release`, with more variants; an update of it if it `follows`.
    ConfigurationError when its builder can make none, or what it is built of has changed."""
    by = builder.require(release, Ability.AGAIN)
    return by.again(release, version=version, variants=variants, follows=follows)


def onward(running: Release, before: Release) -> Release:
    """What a device that runs `running` can be updated to: the version that it had before, or,
    where its product refuses to go back, a newer one."""
    if _can_be_had(running, before):
        return before
    return alike(running, version=f"{running.version}+next", follows=True)


def no_way_on(running: Release, before: Release) -> str:
    """Why there is no version that such a device can be updated to; empty when there is one."""
    return "" if _can_be_had(running, before) else builder.lacking(running, Ability.NEWER)


def _can_be_had(running: Release, before: Release) -> bool:
    downgrades = running.product.promises.downgrades == "allowed"
    return downgrades or is_newer(before.version, running.version)
