"""What the rest of the harness asks of whoever builds releases; found by entry point.

A release names its builder, and what others need to know about the product stands in the release
itself. What takes more than reading it (another version of the same product, a signature, a look
into an update artifact) is asked here. Not every builder can do all of that for each release: one
that made its images of a recipe can build bad versions on purpose, one that took finished images
cannot. It says so beforehand (`lacks`), and what needs it is left out, with that reason.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import ConfigDict

from harness import files, plugins, schema
from harness.errors import ConfigurationError
from harness.fields import ExistingFile
from harness.product.release import FILE, Digest, Release

DEFAULT = "debian"


class Ability(StrEnum):
    """What not every builder can do for each of its releases."""

    AGAIN = "again"  # build another version of the same product, also a bad one (`again`)
    NEWER = "newer"  # build a newer one that is good
    ARTIFACT = "artifact"  # make an update of other content (`artifact`)
    STRANGER = "stranger"  # make an update that a stranger has signed (`strange_artifact`)
    MISDIRECTED = "misdirected"  # make one for another machine (`misdirected_artifact`)
    PAYLOAD = "payload"  # look into an update (`payload`)
    AUTHORITY = "authority"  # sign for update servers (`server_ca`)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority (PEM files)."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    certificate: ExistingFile
    key: ExistingFile


class Builder(Protocol):
    """One way to make releases. All raise ConfigurationError for what is the user's to put right,
    BuildError when something cannot be made; those that are an `Ability`, for a release that
    `lacks` it, too."""

    RECIPE: type  # what the file that it builds from is read as (`harness.schema`)

    def build(
        self,
        source: Path,
        *,
        version: str,
        variants: Sequence[str] = (),
        output: Path | None = None,
    ) -> Release:
        """A release of what is in the folder `source`, copied to `output` when given."""

    def lacks(self, release: Release) -> Mapping[Ability, str]:
        """What it cannot do for one of its releases, and why: the end of a sentence about it."""

    def variants(self, release: Release) -> Collection[str]:
        """The variants that there are of a release's product."""

    def again(
        self, release: Release, *, version: str, variants: Sequence[str] = (), follows: bool = False
    ) -> Release:
        """Another version of the same product, with more variants than `release` has. `follows`:
        it is for devices that run `release`, and signed by whom those trust. Refuses when what it
        is built of has changed: that would be another product's version."""

    def artifact(self, release: Release, content: Path, output: Path, *, version: str) -> Path:
        """Write an update of the same product that devices take and whose slot is `content`;
        returns `output`."""

    def strange_artifact(self, release: Release, output: Path) -> Path:
        """Write the release's own update, signed by somebody whom no device trusts; returns
        `output`."""

    def misdirected_artifact(self, release: Release, output: Path) -> Path:
        """Write the release's own update, well signed, for the devices of another machine; returns
        `output`."""

    def payload(self, release: Release) -> Digest:
        """What the release's update artifact installs in a slot."""

    def server_ca(self, release: Release) -> Authority:
        """Who signs the certificates of the product's update servers."""


def named(name: str) -> Builder:
    """The builder of that name; ConfigurationError when there is none."""
    found: Builder = plugins.load(plugins.BUILDERS, name, kind=Builder, key="builder")
    return found


def of(release: Release) -> Builder:
    """Who built a release; ConfigurationError when that builder is not installed."""
    return named(release.builder)


def lacking(release: Release, ability: Ability) -> str:
    """Why a release's builder cannot do that; empty when it can."""
    return of(release).lacks(release).get(ability, "")


def require(release: Release, ability: Ability) -> Builder:
    """The builder of a release, which can do that; ConfigurationError says why it cannot."""
    if why := lacking(release, ability):
        raise ConfigurationError(f"{files.shown(release.folder / FILE)}: {why}")
    return of(release)


def verify(release: Release) -> None:
    """Hash every file again, and the slot image that the update artifact holds, where its builder
    can look into it: it must be the one of the release. Raises ConfigurationError."""
    release.verify()
    if lacking(release, Ability.PAYLOAD):
        return
    if of(release).payload(release) != release.slot:
        raise ConfigurationError(
            f"{files.shown(release.folder / FILE)}: slot: {release.artifact_name} installs another"
            " slot image",
            hint="build the release again",
        )
