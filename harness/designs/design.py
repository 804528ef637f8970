"""A public design as data: `design.yaml` in a folder with its build script, profile and lab.

    title: systemd-boot with boot counting, systemd-sysupdate
    machine: x86-64, UEFI (OVMF)
    boot_selection: names on the ESP, GPT labels
    slots: squashfs, by label
    documents: [sysupdate.d(5)]       # that it follows
    deviations: [...]                 # where it does not
    packages: [systemd, systemd-boot] # whose versions decide
    artifact: update.tar              # that `build` leaves beside disk.img
    keeps: [u-boot.bin]               # and what the board needs of it, kept in `out`
    board: sysupdate-sdboot-qemu      # of the design's lab.yaml
    breaks: {kernel-panic: 1.2.0}     # bad versions: what `build --break` takes
    scenarios: [update, "power-cut[acknowledged/all]"]
    variants:
      plain: {what: as in the documents}
      synced: {what: a sync after each rename, build: [--sync], profile: synced.yaml}

Each variant is built, adopted with its profile and run alike; a promise is the design's own.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from harness import files, project, schema
from harness.errors import ConfigurationError
from harness.fields import FileName, Line, Name
from harness.product import profile

FILE = "design.yaml"
FOLDER = "images/designs"  # of a product folder
BUILD, OUT = "build", "out"
OLD, NEW = "1.0.0", "1.1.0"  # what is updated, and to what
NEWER = "1.9.0"  # what is installed after each cut, of a design that refuses older versions
_LEFT_OUT = {OUT, FILE, "results.json"}  # no build reads them


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignVariant:
    """One way to build it: words for its build script, and the profile that it is adopted with.
    `scenarios`: those that it is about, where it is not about all."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    what: Line
    build: tuple[Line, ...] = ()
    profile: FileName = profile.FILE
    scenarios: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignFile:
    """All of design.yaml."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    title: Line
    machine: Line
    boot_selection: Line
    slots: Line
    documents: tuple[Line, ...]
    deviations: tuple[Line, ...] = ()
    packages: tuple[Line, ...]
    artifact: FileName
    keeps: tuple[FileName, ...] = ()
    board: Name
    breaks: dict[Name, Line] = field(default_factory=dict)
    scenarios: Annotated[tuple[Line, ...], Field(min_length=1)]
    variants: Annotated[dict[Name, DesignVariant], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design(DesignFile):
    """A design; `folder` is where it lies."""

    folder: Path

    @property
    def name(self) -> str:
        """As its folder is called."""
        return self.folder.name

    @property
    def broken(self) -> dict[str, str]:
        """Versions that are bad, and what is broken in each."""
        return {version: broken for broken, version in self.breaks.items()}

    def wanted(self, variant: str) -> tuple[str, ...]:
        """Scenarios of a variant, in the order in which they are run."""
        return self.variants[variant].scenarios or self.scenarios

    def inputs(self, variant: DesignVariant) -> str:
        """SHA-256 of all that a build of the variant is made of, but for Debian's packages."""
        others = {each.profile for each in self.variants.values()} - {variant.profile}
        digest = hashlib.sha256(repr((variant.build, variant.profile)).encode())
        for file in sorted(self.folder.rglob("*")):
            inside = file.relative_to(self.folder)
            if inside.parts[0] not in _LEFT_OUT | others and file.is_file():
                digest.update(f"{inside}\0".encode() + files.read(file))
        return digest.hexdigest()


def load(folder: Path) -> Design:
    """The design in a folder; ConfigurationError with all that is wrong in its design.yaml."""
    file, hint = folder / FILE, "docs/designs/README.md explains the keys"
    found = schema.from_yaml(DesignFile, files.text(file), what=file, hint=hint)
    return Design(**{key: getattr(found, key) for key in DesignFile.__slots__}, folder=folder)


def known(folder: Path | None = None) -> dict[str, Design]:
    """All designs of a folder, by name; none given: of the product folder, or of the folder that
    the product folder, a design itself, lies in."""
    place = (folder or _place()).absolute()  # a design is run in its folder
    return {each.name: load(each) for each in files.entries(place) if files.is_file(each / FILE)}


def named(name: str, folder: Path | None = None) -> Design:
    """The design of that name; ConfigurationError for one that is not there."""
    found = known(folder)
    if name not in found:
        raise ConfigurationError(
            f"there is no design '{name}'", hint=f"designs here: {', '.join(found) or 'none'}"
        )
    return found[name]


def _place() -> Path:
    found = project.find()
    if found is None:
        raise ConfigurationError("no product folder here", hint="name one with --designs")
    return found.root.parent if files.is_file(found.root / FILE) else found.root / FOLDER
