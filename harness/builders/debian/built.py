"""What a release says of how this builder made it: `built` in release.json."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from harness import project, schema
from harness.fields import Line
from harness.product.release import FILE, Release
from harness.schema import Sha256

NAME: Literal["debian"] = "debian"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Folders are named relative to the product folder."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    builder: Literal["debian"] = NAME
    recipe: Line  # its folder
    inputs: Sha256  # of all that the release was made from
    base: Sha256  # of what its package base was made from
    suites: tuple[Line, ...]  # Debian's archives that the packages came from
    sources: dict[Line, Sha256]  # the folders that the recipe and its files lie in, by content
    signing: Line  # "development", or the certificate of the artifact's signer
    source_date_epoch: Annotated[int, Field(ge=1)]

    @property
    def recipe_folder(self) -> Path:
        """Where the recipe is on this machine."""
        return project.named(self.recipe)


def of(release: Release) -> Built:
    """What this builder says of a release of its own; ConfigurationError when it is damaged."""
    text = schema.to_bytes(release.built)
    what = f"{release.folder / FILE}: built"
    return schema.from_json(Built, text, what=what, hint="build the release again")
