"""What a release of finished images says of where it comes from: `built` in release.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict

from harness import project, schema
from harness.fields import Line, Name
from harness.product.release import FILE, Release
from harness.schema import Sha256

NAME: Literal["finished"] = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """Files are named relative to the product folder."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    builder: Literal["finished"] = NAME
    profile: Line  # the product.yaml
    profile_sha256: Sha256
    image: Line  # as it was given
    variants: dict[Name, Line]  # bad versions of the same product: folders of adopted releases

    @property
    def folders(self) -> Mapping[str, Path]:
        """Where the variants are on this machine."""
        return {name: project.named(folder) for name, folder in self.variants.items()}


def of(release: Release) -> Adopted:
    """What a release of finished images says of itself; ConfigurationError when it is damaged."""
    what = f"{release.folder / FILE}: built"
    return schema.from_json(
        Adopted, schema.to_bytes(release.built), what=what, hint="adopt the images again"
    )
