"""Update artifacts by the name of the client that installs them."""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from harness import plugins
from harness.builders.debian.recipe import Recipe, Signing
from harness.builders.debian.tree import Tree
from harness.product.release import Digest, Release


class Opener(Protocol):
    """How one kind of update artifact is read."""

    def meant_for(self, artifact: Path) -> Collection[str]:
        """The devices that an artifact says that it is for: one of these must be a product's
        `compatible`. Nothing: it does not say. ConfigurationError when there is none to read."""

    def payload(self, artifact: Path, *, limit: int) -> Digest:
        """The slot image that an artifact installs; ConfigurationError when there is none, or one
        of more than `limit` bytes."""


class Maker(Opener, Protocol):
    """How one kind of update artifact is made, too, and trusted."""

    FILE: str  # its name in a release

    def make(
        self, slot: Path, output: Path, *, recipe: Recipe, version: str, signing: Signing
    ) -> Path:
        """Write an artifact that installs `slot` on devices of the recipe; returns `output`."""

    def trust(self, tree: Tree, recipe: Recipe, version: str, signing: Signing) -> None:
        """Add to a root file system what its client must know: whom to trust, what it is."""


def payload(release: Release) -> Digest:
    """The slot image that a release's update artifact installs; errors as of `Opener.payload`."""
    found = opener(release.product.client)
    return found.payload(release.artifact, limit=release.slot.size)


def opener(client: str) -> Opener:
    """How artifacts for an update client are read; ConfigurationError for an unknown one."""
    found: Opener = plugins.load(plugins.ARTIFACTS, client, kind=Opener, key="client")
    return found


def maker(client: str) -> Maker:
    """How artifacts for an update client are made; ConfigurationError for one that nobody here
    makes any for."""
    found: Maker = plugins.load(plugins.ARTIFACTS, client, kind=Maker, key="client")
    return found
