"""What evidence is about: one release, named by its content and not by its version."""

import re
from dataclasses import dataclass, fields
from typing import ClassVar

from pydantic import ConfigDict

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
