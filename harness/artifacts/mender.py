"""Mender's Artifacts, read (format 3, with one rootfs-image payload).

https://docs.mender.io/artifact-creation/create-an-artifact and sign-and-verify.
"""

import contextlib
import os
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path

from harness import files, schema
from harness.artifacts import archive
from harness.errors import ConfigurationError
from harness.plain import one_line
from harness.product.release import Digest

_LARGEST_HEADER = 64 << 10  # bytes


def payload(artifact: Path, *, limit: int) -> Digest:
    """The slot image that an Artifact installs, if it has at most `limit` bytes.

    Only archives of plain files as mender-artifact makes them are read, header by header: an
    Artifact is somebody's, and links, sparse files and compressed ones can be of any size. Raises
    ConfigurationError.
    """
    with _archive(artifact) as members:
        data = _one(members, "data/")
        with members.opened(data, r"data/\d{4}", limit=limit, most=1) as content:
            return content.digest(content.only())


def meant_for(artifact: Path) -> Collection[str]:
    """Its device types, of its header (header-info, format 3), without which no device takes an
    Artifact. Raises ConfigurationError."""
    with _archive(artifact) as members:
        header = _one(members, "header.tar")
        with members.opened(header, "header", limit=_LARGEST_HEADER) as content:
            text = content.named("header-info", limit=_LARGEST_HEADER)
            told = schema.json_data(text, what=f"{files.shown(artifact)}: header-info")
    depends = told.get("artifact_depends") if isinstance(told, dict) else None
    found = depends.get("device_type") if isinstance(depends, dict) else None
    types = [one_line(each) for each in found or [] if isinstance(each, str)]
    if not types:
        raise ConfigurationError(f"{files.shown(artifact)}: its header says nothing of device_type")
    return types


def _one(members: archive.Archive, begins: str) -> archive.Member:
    found = [each for each in members.all if each.name.startswith(begins)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} files are called {begins}..., not one")
    return found[0]


@contextlib.contextmanager
def _archive(artifact: Path) -> Iterator[archive.Archive]:
    """An Artifact's outer archive, while it is read; ConfigurationError for what is none."""
    with files.opened(artifact) as stream:
        try:
            end = os.fstat(stream.fileno()).st_size
            yield archive.Archive(stream, list(archive.members(stream, end)))
        except (tarfile.TarError, ValueError) as error:
            raise ConfigurationError(
                f"{files.shown(artifact)}: not an Artifact with one payload", details=str(error)
            ) from error
