"""What others ask of this builder (harness.builders.builder): of a release, its recipe answers.

A release names its recipe; where that is not on this machine any more, or was changed since, what
would take it cannot be done.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.artifacts import payload
from harness.builders.builder import Ability, Authority
from harness.builders.debian import built, pki, recipe, tools
from harness.builders.debian.artifacts import maker
from harness.builders.debian.build import build
from harness.builders.debian.recipe import Recipe, Signing
from harness.builders.debian.recipe import RecipeFile as RECIPE
from harness.errors import ConfigurationError
from harness.product.release import Release, digest

__all__ = [
    "RECIPE",
    "again",
    "artifact",
    "build",
    "lacks",
    "misdirected_artifact",
    "payload",
    "server_ca",
    "strange_artifact",
    "variants",
]


def lacks(release: Release) -> Mapping[Ability, str]:
    """What takes a recipe, where it is not here."""
    made = built.of(release)
    if made.recipe_folder.exists():
        return {} if release.product.server_ca else {Ability.AUTHORITY: "its recipe names no CA"}
    why = f"the product's recipe is not here: {made.recipe}"
    return dict.fromkeys(set(Ability) - {Ability.PAYLOAD}, why)


def variants(release: Release) -> Collection[str]:
    """Those of its recipe."""
    return _recipe(release).variants.keys()


def again(
    release: Release, *, version: str, variants: Sequence[str] = (), follows: bool = False
) -> Release:
    """Another version from the same cached base.

    Refuses when the recipe has changed since `release` was built: what is built now would carry
    another product's protections, and prove nothing about this one.
    """
    folder = built.of(release).recipe_folder
    same = build(folder, version=release.version, variants=release.variants)
    if same.slot.sha256 != release.slot.sha256:
        raise ConfigurationError(
            f"{folder} does not build {release.version} as it was tested any more",
            hint="test from the checkout that the release was built from, or build it again",
        )
    every = [*release.variants, *variants]
    return build(folder, version=version, variants=every, by_successor=follows)


def artifact(release: Release, content: Path, output: Path, *, version: str) -> Path:
    """An update that is signed by whom the devices of the release trust."""
    made = _recipe(release)
    signing = pki.trusted(made, made.chosen(release.variants))
    return maker(release.product.client).make(
        content, output, recipe=made, version=version, signing=signing
    )


def strange_artifact(release: Release, output: Path) -> Path:
    """The same update, signed by a stranger."""
    return _made_otherwise(release, output, _recipe(release), pki.stranger())


def misdirected_artifact(release: Release, output: Path) -> Path:
    """The same update, whose devices are said to be others."""
    made = _recipe(release)
    other = replace(made, compatible=f"{made.compatible[:80]}-other")
    return _made_otherwise(release, output, other, pki.signer(made))


def _made_otherwise(release: Release, output: Path, made: Recipe, signing: Signing) -> Path:
    output.unlink(missing_ok=True)
    slot = output.with_name(output.name + ".slot")
    slot.unlink(missing_ok=True)
    tools.copy(release.slot_image, slot)  # `output` may be on another file system
    try:
        return maker(release.product.client).make(
            slot,
            output,
            recipe=made,
            version=release.version,
            signing=signing,
        )
    finally:
        slot.unlink()


def server_ca(release: Release) -> Authority:
    """The one of the recipe, if it is still that which the release names."""
    authority = pki.server_ca(_recipe(release))
    if authority is None or digest(authority.certificate).sha256 != release.product.server_ca:
        raise ConfigurationError(
            f"{release.folder}: server_ca: is not the one that {built.of(release).recipe} names",
            hint="build the release again",
        )
    return authority


def _recipe(release: Release) -> Recipe:
    """As it is on this machine now; ConfigurationError when it is not there."""
    return recipe.load(built.of(release).recipe_folder)
