"""What a release of a Yocto build says of where it comes from: `built` in release.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from harness import project, schema
from harness.fields import Like, Line, Name
from harness.product.release import FILE, Release
from harness.schema import Sha256

NAME: Literal["yocto"] = "yocto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """Files are named relative to the product folder. What a deploy folder does not say is empty:
    layers and their commits are known where its kas project is."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    builder: Literal["yocto"] = NAME
    recipe: Annotated[str, Like(r"([^\x00-\x1f]+)?")] = ""  # a folder, where it was built here
    image: Line  # the image's recipe
    distro: Line
    profile: Line  # the product.yaml
    profile_sha256: Sha256
    kas: Annotated[str, Like(r"([^\x00-\x1f]+)?")] = ""  # its files, with colons between
    inputs: Annotated[str, Like(r"([0-9a-f]{64})?")] = ""  # of lock, kas files and own layers
    sources: dict[Line, Line] = field(default_factory=dict)  # repository -> commit
    variants: dict[Name, Line] = field(default_factory=dict)  # bad versions: adopted releases
    source_date_epoch: Annotated[int, Field(ge=1)] | None = None

    @property
    def folders(self) -> Mapping[str, Path]:
        """Where the variants are on this machine."""
        return {name: project.named(folder) for name, folder in self.variants.items()}


def of(release: Release) -> Deployed:
    """What a release says of the Yocto build; ConfigurationError when it is damaged."""
    what = f"{release.folder / FILE}: built"
    return schema.from_json(
        Deployed, schema.to_bytes(release.built), what=what, hint="adopt the deploy folder again"
    )
