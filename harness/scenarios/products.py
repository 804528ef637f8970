"""Other versions of the product under test, built from the recipe that it was built from."""

from collections.abc import Sequence

from harness.builders.debian import recipe as recipes
from harness.builders.debian.build import build
from harness.errors import ConfigurationError
from harness.product.release import Release
from harness.version import is_newer


def variants(release: Release) -> set[str] | None:
    """The variants that can be made of the same product; None where its recipe is not here."""
    if not release.recipe_folder.exists():
        return None
    return set(recipes.of(release).variants)


def alike(release: Release, *, version: str, variants: Sequence[str] = ()) -> Release:
    """Another version of `release`, with more variants, from the same cached base.

    Refuses when the recipe has changed since `release` was built: what is built now would carry
    another product's protections, and prove nothing about this one.
    """
    recipe = release.recipe_folder
    again = build(recipe, version=release.version, variants=release.variants)
    if again.slot.sha256 != release.slot.sha256:
        raise ConfigurationError(
            f"{recipe} does not build {release.version} as it was tested any more",
            hint="test from the checkout that the release was built from, or build it again",
        )
    return build(recipe, version=version, variants=[*release.variants, *variants])


def onward(running: Release, before: Release) -> Release:
    """What a device that runs `running` can be updated to: the version that it had before, or,
    where its product refuses to go back, a newer one."""
    if running.promises.downgrades == "allowed" or is_newer(before.version, running.version):
        return before
    return alike(running, version=f"{running.version}+next")
