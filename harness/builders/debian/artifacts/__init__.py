"""Making update artifacts, by the name of the client that installs them; read they are by
`harness.artifacts`."""

from pathlib import Path
from typing import Protocol

from harness import plugins
from harness.artifacts import Opener
from harness.builders.debian.recipe import Recipe, Signing
from harness.builders.debian.tree import Tree


class Maker(Opener, Protocol):
    """How one kind of update artifact is made, too, and trusted."""

    FILE: str  # its name in a release

    def make(
        self, slot: Path, output: Path, *, recipe: Recipe, version: str, signing: Signing
    ) -> Path:
        """Write an artifact that installs `slot` on devices of the recipe; returns `output`."""

    def trust(self, tree: Tree, recipe: Recipe, version: str, signing: Signing) -> None:
        """Add to a root file system what its client must know: whom to trust, what it is."""


def maker(client: str) -> Maker:
    """How artifacts for an update client are made; ConfigurationError for one that nobody here
    makes any for."""
    found: Maker = plugins.load(plugins.ARTIFACTS, client, kind=Maker, key="client")
    return found
