"""A release: everything built for one version of one machine, in a folder with `release.json`.

release.json is the contract between building, testing and promoting: it names every file, the
slot's content and the inputs by SHA-256, and where each region lies on the disk.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import files, project, schema, version
from harness.errors import ConfigurationError
from harness.product import promises
from harness.product.keys import FILE_NAME, LINE, NAME, Keys
from harness.product.layout import Region
from harness.product.promises import Promises

FILE = "release.json"
SCHEMA = 2
FILES = ("disk.img", "disk.img.bmap", "packages.txt", "slot.img")  # and the update artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A file's SHA-256 (hex) and size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A built release; `folder` is where it lies and no part of what it is."""

    folder: Path = field(compare=False)
    machine: str
    version: str
    variants: tuple[str, ...]
    client: str
    bootloader: str
    compatible: str
    inputs: str
    base: str
    suites: tuple[str, ...]
    recipe: str
    source_date_epoch: int
    slot: Digest
    artifact_name: str  # one of `files`
    promises: Promises = field(default_factory=Promises)
    server_ca: str = ""  # SHA-256 of the CA certificate of its update servers, if it names one
    layout: Mapping[str, Region]
    files: Mapping[str, Digest]

    @property
    def recipe_folder(self) -> Path:
        """Where the recipe is on this machine."""
        return project.named(self.recipe)

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
            raise ConfigurationError.of(
                str(self.folder / FILE), problems, hint="build the release again"
            )

    def write(self) -> None:
        """Write release.json into the folder."""
        text = json.dumps(self.to_json(), indent=2) + "\n"
        (self.folder / FILE).write_text(text, encoding="utf-8")

    def to_json(self) -> dict[str, Any]:
        """The content of release.json."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "version": self.version,
            "variants": list(self.variants),
            "client": self.client,
            "bootloader": self.bootloader,
            "compatible": self.compatible,
            "inputs": self.inputs,
            "base": self.base,
            "suites": list(self.suites),
            "recipe": self.recipe,
            "source_date_epoch": self.source_date_epoch,
            "slot": _digest_json(self.slot),
            "artifact": self.artifact_name,
            "promises": asdict(self.promises),
            "server_ca": self.server_ca,
            "layout": {name: [r.offset, r.length] for name, r in self.layout.items()},
            "files": {name: _digest_json(d) for name, d in sorted(self.files.items())},
        }


def load(folder: Path) -> Release:
    """Read `folder`/release.json; ConfigurationError with all problems of its schema."""
    path = folder / FILE
    text = files.read(path, hint="a release is a folder made by `harness build`")
    content = schema.json_data(text, what=path, hint="build the release again")
    problems: list[str] = []
    release = _parse(folder, Keys(content, "", folder, problems))
    if problems := problems or list(_misfits(release)):
        raise ConfigurationError.of(str(path), problems, hint="build the release again")
    return release


def digest(path: Path) -> Digest:
    """SHA-256 and size of a file."""
    with files.opened(path) as stream:
        return digest_of(stream)


def digest_of(stream: io.BufferedReader) -> Digest:
    """The same, of an open file."""
    found = hashlib.file_digest(stream, "sha256").hexdigest()
    return Digest(sha256=found, size=os.fstat(stream.fileno()).st_size)


def _parse(folder: Path, keys: Keys) -> Release:
    keys.text("schema", allowed=(str(SCHEMA),))
    release = Release(
        folder=folder,
        machine=keys.text("machine", pattern=NAME),
        version=keys.text("version", pattern=version.PATTERN),
        variants=keys.texts("variants", pattern=NAME),
        client=keys.text("client", pattern=NAME),
        bootloader=keys.text("bootloader", pattern=NAME),
        compatible=keys.text("compatible", pattern=LINE),
        inputs=keys.text("inputs", pattern=_SHA256),
        base=keys.text("base", pattern=_SHA256),
        suites=keys.texts("suites", pattern=LINE),
        recipe=keys.text("recipe", pattern=LINE),
        source_date_epoch=keys.number("source_date_epoch"),
        slot=_digest(keys.section("slot")),
        artifact_name=keys.text("artifact", pattern=FILE_NAME),
        promises=Promises(**promises.named(keys)),
        server_ca=keys.text("server_ca", default="", pattern=f"({_SHA256})?"),
        layout={name: Region(*pair) for name, pair in keys.pairs("layout").items()},
        files={name: _digest(section) for name, section in keys.sections("files").items()},
    )
    keys.finish()
    return release


def _misfits(release: Release) -> Iterator[str]:
    """What is tested, hashed and installed is one and the same file under one name."""
    for name in release.files:
        if not re.fullmatch(FILE_NAME, name) or name == FILE:
            yield f"files.{name}: must be the plain name of a file of the release"
    for name in (release.disk_image.name, release.slot_image.name, release.artifact_name):
        if name not in release.files:
            yield f"files.{name}: missing"
    if release.artifact_name in FILES:
        yield f"artifact: {release.artifact_name} is no update artifact"
    if release.files.get(release.slot_image.name, release.slot) != release.slot:
        yield f"slot: is not files.{release.slot_image.name}"


_SHA256 = r"[0-9a-f]{64}"


def _digest(keys: Keys) -> Digest:
    found = Digest(sha256=keys.text("sha256", pattern=_SHA256), size=keys.number("size"))
    keys.finish()
    return found


def _digest_json(found: Digest) -> dict[str, Any]:
    return {"sha256": found.sha256, "size": found.size}
