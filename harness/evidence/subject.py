"""What evidence is about: one release, named by its content and not by its version."""

import hashlib
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from harness import schema, version
from harness.builders import builder
from harness.errors import ConfigurationError
from harness.fields import NAME
from harness.product.release import FILE as RELEASE_FILE
from harness.product.release import Release, load

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """SHA-256 in hex of all that a release ships; equal digests are the same release."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    release: str  # of release.json
    disk: str  # of the disk image
    artifact: str  # of the update artifact
    slot: str  # of the slot image

    def __post_init__(self) -> None:
        for part in fields(self):
            if not _SHA256.match(getattr(self, part.name)):
                raise ValueError(f"{part.name}: not a SHA-256 in lower-case hex")

    def items(self) -> list[tuple[str, str]]:
        """(name, SHA-256) of each part."""
        return [(part.name, getattr(self, part.name)) for part in fields(self)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A release under test, or the one an update came from."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    machine: str
    version: str
    digests: Digests
    variants: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = {"machine": self.machine, **{f"variant {each}": each for each in self.variants}}
        problems = [f"{what}: {name!r} is no name" for what, name in names.items() if _odd(name)]
        problems += filter(None, [version.problem(self.version)])
        if problems:  # they become lines of messages and names of folders
            raise ValueError("; ".join(problems))

    def __str__(self) -> str:
        return " ".join([self.machine, self.version, *(f"({name})" for name in self.variants)])

    @classmethod
    def of(cls, release: Release) -> "Subject":
        """The subject that a release is, as its release.json tells.

        Raises ConfigurationError when that names no disk image or no update artifact.
        """
        file = release.folder / RELEASE_FILE
        shipped = (release.disk_image.name, release.artifact.name)
        if missing := [f"files.{name}: missing" for name in shipped if name not in release.files]:
            raise ConfigurationError.of(str(file), missing, hint="build the release again")
        return cls(
            machine=release.machine,
            version=release.version,
            digests=Digests(
                release=hashlib.sha256(file.read_bytes()).hexdigest(),
                disk=release.files[release.disk_image.name].sha256,
                artifact=release.files[release.artifact.name].sha256,
                slot=release.slot.sha256,
            ),
            variants=release.variants,
        )


def _odd(name: str) -> bool:
    return re.fullmatch(NAME, name) is None


def read_subject(folder: Path) -> Subject:
    """The release in `folder`, with every file hashed now, and what its artifact installs.

    Raises ConfigurationError that names each file which is missing or no longer what
    release.json says it was when the release was built.
    """
    release = load(folder)
    builder.verify(release)
    return Subject.of(release)
