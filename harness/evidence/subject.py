"""What evidence is about: one release, named by its content and not by its version."""

import hashlib
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import ConfigDict

from harness.errors import ConfigurationError
from harness.evidence import schema

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

    def __str__(self) -> str:
        return " ".join([self.machine, self.version, *(f"({name})" for name in self.variants)])

    @classmethod
    def of(cls, release: "_HasFolder") -> "Subject":
        """The subject that a release is, as its release.json tells; `read_subject` hashes."""
        return _told(release.folder)[0]


class _HasFolder(Protocol):
    @property
    def folder(self) -> Path: ...


def read_subject(folder: Path) -> Subject:
    """The release in `folder`, with every file hashed now.

    Raises ConfigurationError that names each file which is missing or no longer what
    release.json says it was when the release was built.
    """
    subject, files = _told(folder)
    problems = [problem for name, sha in files.items() if (problem := _changed(folder / name, sha))]
    if problems:
        raise ConfigurationError.of(
            f"release {subject}", problems, hint="build it again, and test what was built"
        )
    return subject


def _told(folder: Path) -> tuple[Subject, dict[str, str]]:
    """What release.json says: the subject, and the SHA-256 of each file by name."""
    file = folder / "release.json"
    try:
        text = file.read_bytes()
        told = json.loads(text)
        slot = str(told["slot"]["sha256"])
        files = {str(name): str(entry["sha256"]) for name, entry in told["files"].items()}
        [artifact] = [name for name in files if name.startswith("update.")]
        digests = Digests(
            release=hashlib.sha256(text).hexdigest(),
            disk=files["disk.img"],
            artifact=files[artifact],
            slot=slot,
        )
        variants = tuple(str(name) for name in told["variants"])
        subject = Subject(
            machine=str(told["machine"]),
            version=str(told["version"]),
            digests=digests,
            variants=variants,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{file}: not a release",
            details=f"  {type(error).__name__}: {error}",
            hint="name the folder that `harness build` made",
        ) from error
    return subject, files


def _changed(file: Path, sha256: str) -> str:
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"{file}: {error.strerror}"
    return "" if found == sha256 else f"{file}: changed since it was built (SHA-256 {found})"
