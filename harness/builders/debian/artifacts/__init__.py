"""Update artifacts by the name of the client that installs them."""

from pathlib import Path
from typing import Protocol

from harness import plugins
from harness.builders.debian import pki, tools
from harness.builders.debian import recipe as recipes
from harness.builders.debian.recipe import Recipe, Signing
from harness.builders.debian.tree import Tree
from harness.errors import ConfigurationError
from harness.product.release import FILE, Digest, Release


class Maker(Protocol):
    """How one kind of update artifact is made, and trusted."""

    FILE: str  # its name in a release

    def make(
        self, slot: Path, output: Path, *, recipe: Recipe, version: str, signing: Signing
    ) -> Path:
        """Write an artifact that installs `slot` on devices of the recipe; returns `output`."""

    def trust(self, tree: Tree, recipe: Recipe, version: str, signing: Signing) -> None:
        """Add to a root file system what its client must know: whom to trust, what it is."""

    def payload(self, artifact: Path, *, limit: int) -> Digest:
        """The slot image that an artifact installs; ConfigurationError when there is none, or one
        of more than `limit` bytes."""


def maker(client: str) -> Maker:
    """How artifacts for an update client are made; ConfigurationError for an unknown one."""
    found: Maker = plugins.load(plugins.ARTIFACTS, client, kind=Maker, key="client")
    return found


def verify(release: Release) -> None:
    """Hash every file again, and the slot image that the update artifact holds: it must be the one
    of the release. Raises ConfigurationError."""
    release.verify()
    payload = maker(release.client).payload(release.artifact, limit=release.slot.size)
    if payload != release.slot:
        raise ConfigurationError(
            f"{release.folder / FILE}: slot: {release.artifact_name} installs another slot image",
            hint="build the release again",
        )


def sign_as_stranger(release: Release, output: Path) -> Path:
    """The same update, signed by somebody whom no device trusts (for tests); returns `output`."""
    output.unlink(missing_ok=True)
    slot = output.with_name(output.name + ".slot")
    slot.unlink(missing_ok=True)
    tools.copy(release.slot_image, slot)  # `output` may be on another file system
    try:
        return maker(release.client).make(
            slot,
            output,
            recipe=recipes.of(release),
            version=release.version,
            signing=pki.stranger(),
        )
    finally:
        slot.unlink()
