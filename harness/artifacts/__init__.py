"""Update artifacts, as whoever has one reads it: by the name of the client that installs it.

They are somebody's, whoever built the release: nothing of one is believed, followed or unpacked
that was not asked for. Who makes them is with who builds (`harness.builders.debian.artifacts`).
"""

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from harness import plugins
from harness.product.release import Digest, Release


class Opener(Protocol):
    """How one kind of update artifact is read."""

    def meant_for(self, artifact: Path) -> Collection[str]:
        """The devices that an artifact says that it is for: one of these must be a product's
        `compatible`. Nothing: it does not say. ConfigurationError when there is none to read."""

    def payload(self, artifact: Path, *, limit: int) -> Digest:
        """The slot image that an artifact installs; ConfigurationError when there is none, or one
        of more than `limit` bytes."""


def payload(release: Release) -> Digest:
    """The slot image that a release's update artifact installs; errors as of `Opener.payload`."""
    found = opener(release.product.client)
    return found.payload(release.artifact, limit=release.slot.size)


def opener(client: str) -> Opener:
    """How artifacts for an update client are read; ConfigurationError for an unknown one."""
    found: Opener = plugins.load(plugins.ARTIFACTS, client, kind=Opener, key="client")
    return found
