"""A release: everything built for one version of one machine, in a folder with `release.json`.

release.json is the contract between building, testing and promoting: what the product is, who built
it of what, every file and the slot's content by SHA-256, and where each region lies on the disk.
What a builder tells of its own work (`built`) is for that builder to read; nobody else needs it.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue

from harness import files, schema, version
from harness.errors import ConfigurationError
from harness.fields import LINE, NAME, FileName, Like, Name
from harness.product.layout import Region
from harness.product.product import Product
from harness.schema import Count, Sha256

FILE = "release.json"
SCHEMA = 3
FILES = ("disk.img", "disk.img.bmap", "packages.txt", "slot.img")  # and the update artifact
_AGAIN = "build the release again"
_SHOWN = 40  # characters of what is no schema


def _one_lined(built: dict[str, Any]) -> dict[str, Any]:
    """What a builder says: of which one it is, and texts that begin no line of their own."""
    if not isinstance(name := built.get("builder"), str) or not re.fullmatch(NAME, name):
        raise ValueError("builder: must be the name of a builder")
    epoch = built.get("source_date_epoch", 1)
    if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 1:
        raise ValueError("source_date_epoch: must be a whole number of seconds")
    for key, value in built.items():
        for text in _texts(value):
            if text and not re.fullmatch(LINE, text):
                raise ValueError(f"{key}: must be one line")
    return built


def _pair(value: Any) -> Any:
    if not isinstance(value, list) or [type(each) for each in value] != [int, int]:
        raise ValueError("must be two whole numbers")
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A file's SHA-256 (hex) and size in bytes."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    sha256: Sha256
    size: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFile:
    """release.json."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    schema: Annotated[int, Field(ge=SCHEMA, le=SCHEMA)] = SCHEMA
    machine: Name
    version: Annotated[str, Like(version.PATTERN)]
    variants: tuple[Name, ...] = ()
    product: Product
    # By whom (`builder`), and of what: that builder's own keys. Paths are relative to the product
    # folder; `source_date_epoch` is the time that no file of the device is younger than.
    built: Annotated[dict[str, JsonValue], AfterValidator(_one_lined)]
    slot: Digest
    artifact_name: Annotated[FileName, Field(alias="artifact")]  # one of `files`
    layout: dict[FileName, Annotated[Region, BeforeValidator(_pair)]]
    files: dict[FileName, Digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(ReleaseFile):
    """A release; `folder` is where it lies and no part of what it is."""

    folder: Path = field(compare=False)

    @property
    def builder(self) -> str:
        """The name of who built it."""
        return str(self.built["builder"])

    @property
    def source_date_epoch(self) -> int:
        """Seconds since 1970: no file of the device is younger; 0: its builder does not say."""
        found = self.built.get("source_date_epoch", 0)
        return found if isinstance(found, int) else 0

    @property
    def disk_image(self) -> Path:
        """The image to flash."""
        return self.folder / "disk.img"

    @property
    def artifact(self) -> Path:
        """The update artifact."""
        return self.folder / self.artifact_name

    @property
    def slot_image(self) -> Path:
        """The exact bytes that an installed slot begins with."""
        return self.folder / "slot.img"

    def verify(self) -> None:
        """Hash every file again; ConfigurationError names all that are missing or differ.

        One of another size is not read: it can be larger than any disk.
        """
        problems = []
        for name, expected in sorted(self.files.items()):
            path = self.folder / name
            if not files.is_file(path):
                problems.append(f"files.{name}: missing")
            elif path.stat().st_size != expected.size or digest(path) != expected:
                problems.append(f"files.{name}: content is not what release.json says")
        if problems:
            raise ConfigurationError.of(files.shown(self.folder / FILE), problems, hint=_AGAIN)

    def write(self) -> None:
        """Write release.json into the folder."""
        text = json.dumps(self.to_json(), indent=2) + "\n"
        files.write_whole(self.folder / FILE, text.encode())

    def to_json(self) -> dict[str, Any]:
        """The content of release.json."""
        return schema.told(self, ReleaseFile)


def load(folder: Path) -> Release:
    """Read `folder`/release.json; ConfigurationError with all problems of its schema."""
    path = folder / FILE
    text = files.read(path, hint="a release is a folder made by `harness build`")
    found = schema.json_data(text, what=path, hint=_AGAIN)
    if isinstance(found, dict) and found.get("schema") != SCHEMA:
        told = json.dumps(found.get("schema"))
        raise ConfigurationError(
            f"{files.shown(path)}: schema {told[:_SHOWN]} is not known, {SCHEMA} is", hint=_AGAIN
        )
    told_there = schema.from_json(ReleaseFile, text, what=path, hint=_AGAIN)
    release = Release(
        folder=folder, **{each.name: getattr(told_there, each.name) for each in fields(told_there)}
    )
    if problems := list(_misfits(release)):
        raise ConfigurationError.of(files.shown(path), problems, hint=_AGAIN)
    return release


def digest(path: Path) -> Digest:
    """SHA-256 and size of a file."""
    with files.opened(path) as stream:
        return digest_of(stream)


def digest_of(stream: io.BufferedReader) -> Digest:
    """The same, of an open file."""
    found = hashlib.file_digest(stream, "sha256").hexdigest()
    return Digest(sha256=found, size=os.fstat(stream.fileno()).st_size)


def _misfits(release: Release) -> Iterator[str]:
    """What is tested, hashed and installed is one and the same file under one name."""
    for name in release.files:
        if name == FILE:
            yield f"files.{name}: must be another file of the release"
    for name in (release.disk_image.name, release.slot_image.name, release.artifact_name):
        if name not in release.files:
            yield f"files.{name}: missing"
    if release.artifact_name in FILES:
        yield f"artifact: {release.artifact_name} is no update artifact"
    if release.files.get(release.slot_image.name, release.slot) != release.slot:
        yield f"slot: is not files.{release.slot_image.name}"
