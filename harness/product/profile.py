"""A product that others built, as data: how its device is driven, and where things are on it.

product.yaml:

    machine: rauc-grub             # of a board in the lab file
    compatible: rauc-grub          # what its artifacts are for
    client: rauc                   # what the artifacts are, and whose words the device speaks
    device:
      version: cat /etc/product-version
      slot: ...                    # prints A or B; has an answer of its own for a known client
      well: systemctl is-system-running --wait
      committed: systemctl --quiet is-active mark-good.service
      commit: ""                   # a command, where nothing on the device commits by itself
      install: curl -sSf -o /data/update.raucb {url} && rauc install /data/update.raucb
      installed: succeeded$        # the very words by which an install is acknowledged
      data: /data/site             # a folder that survives updates
      id: ""                       # prints what a device is called for life
    disk:
      slot-A: {partition: 2}
      slot-B: {partition: 3}
      data: {partition: 4}
      boot-selection: {partition: 1}   # or {bytes: [OFFSET, LENGTH]}; with `table: true` from the
                                       # disk's first sector to the partition's end
    boot_selection: {reader: grub-order, file: /grubenv, otherwise: A, words: {}}
    slots: {content: tree, changes: [etc/machine-id]}
    variants:                      # bad versions, adopted likewise, and what shows that one ran
      kernel-panic: {release: out/1.2.0, console: Kernel panic}
    promises: {attempts: 1}

Commands are for a shell on the device (POSIX), as root, over SSH; exit code 0 is yes. What else is
asked of a device is in docs/device-contract.md.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from harness import files, schema
from harness.errors import ConfigurationError
from harness.fields import Like, Line, Name
from harness.product.layout import SECTOR
from harness.product.promises import Promises
from harness.schema import STRICT

FILE = "product.yaml"
Command = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]
Word = Annotated[str, Like(r"[A-Za-z][A-Za-z-]{0,30}")]
DevicePath = Annotated[str, Field(pattern=r"^/[^\x00\r\n]*$", max_length=4096)]


class ContentCheck(StrEnum):
    """How a slot's content is held against what was installed."""

    EXACT = "exact"  # byte for byte: squashfs, verity, anything that is mounted read-only
    TREE = "tree"  # ext4, mounted for writing: each file but those that may change
    NONE = "none"  # not at all: then it is not checked, and the evidence says so


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCommands:
    """What a device is asked, in commands; see the module."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    version: Command
    install: Annotated[Command, Field(pattern=r"\{url\}")]
    well: Command
    slot: Annotated[str, Field(max_length=4096)] = ""
    committed: Annotated[str, Field(max_length=4096)] = ""  # empty: once it is well
    commit: Annotated[str, Field(max_length=4096)] = ""
    installed: Annotated[str, Field(max_length=400)] = ""  # a regular expression
    reboot: Command = "systemctl reboot"
    switch_off: Command = "systemctl poweroff"
    data: DevicePath = "/data"
    id: Annotated[str, Field(max_length=4096)] = ""
    provision: Annotated[str, Field(max_length=4096)] = ""  # with {server}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A partition, by its number in the table of the disk image or by its GPT label, or bytes of
    the disk that lie in no partition: offset and length."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    partition: Annotated[int, Field(ge=1, le=128)] | Annotated[str, Field(min_length=1)] | None = (
        None
    )
    bytes: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(gt=0)]] | None = None
    table: bool = False  # all from the disk's first sector on: what the partition table says counts

    @property
    def problem(self) -> str:
        """Why it is no place; empty when it is one."""
        if (self.partition is None) == (self.bytes is None):
            return "needs one of partition and bytes"
        if self.bytes and (self.table or any(each % SECTOR for each in self.bytes)):
            return f"bytes are whole sectors of {SECTOR}, and have no table"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSource:
    """Where the boot selection of such a product is, and in whose words: `reader` is an entry point
    of harness.selections, `words` are what that reader must be told."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    reader: Name
    file: Annotated[str, Field(pattern=r"^(/[^\x00\r\n]*)?$", max_length=4096)] = ""
    otherwise: Literal["A", "B"] = "A"  # what is booted when no slot may be
    words: dict[Word, Annotated[str, Field(max_length=400)]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """What slots are, and which files of theirs a boot may change."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    content: ContentCheck = ContentCheck.EXACT
    changes: tuple[str, ...] = ()  # paths without a leading slash, or patterns of them


@dataclass(frozen=True, slots=True, kw_only=True)
class BadVersion:
    """A version of the product with something wrong, for tests: its release's folder, from the
    product folder, and a regular expression that its console shows when it ran (nothing: what the
    gateway's own programs say)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    release: Line
    console: Annotated[str, Field(max_length=400)] = ""


SELECTION = "boot-selection"
REGIONS = ("slot-A", "slot-B", "data", SELECTION)
SECOND = "boot-selection-2"  # where there are two copies
BOOT = "boot"  # of a device with the gateway's own programs: what the bootloader reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """All of product.yaml."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    machine: Name
    compatible: Annotated[str, Field(min_length=1, max_length=200)]
    client: Name
    device: DeviceCommands | None = None  # nothing: it has the gateway's own programs
    disk: dict[str, Place]
    boot_selection: SelectionSource
    slots: Slots = field(default_factory=Slots)
    variants: dict[Name, BadVersion] = field(default_factory=dict)
    promises: Promises = field(default_factory=Promises)


def load(file: Path) -> Profile:
    """Read product.yaml; ConfigurationError with all that is wrong in it."""
    hint = "docs/adopt.md explains every key"
    found = schema.from_yaml(Profile, files.text(file), what=file, hint=hint)
    if problems := list(_problems(found)):
        raise ConfigurationError.of(files.shown(file), problems, hint=hint)
    return found


def _problems(found: Profile) -> Iterator[str]:
    if found.device and found.device.installed:
        yield from _saying(found.device.installed, "device.installed")
    for name, bad in found.variants.items():
        if bad.console:
            yield from _saying(bad.console, f"variants.{name}.console")
    # A Yocto build says itself where U-Boot's environment is (fw_env.config).
    needed = REGIONS if found.device else REGIONS[:-1]
    yield from (f"disk.{name}: missing" for name in needed if name not in found.disk)
    known = (*REGIONS, SECOND) if found.device else (*REGIONS, SECOND, BOOT)
    for name, place in found.disk.items():
        if name not in known:
            yield f"disk.{name}: not one of {', '.join(known)}"
        elif place.problem:
            yield f"disk.{name}: {place.problem}"
        elif place.table and name != SELECTION:
            yield f"disk.{name}: only the boot selection is looked for in the table"
    if SECOND in found.disk and SELECTION not in found.disk:
        yield f"disk.{SELECTION}: missing"
    if found.device:
        silent = [name for name, bad in found.variants.items() if not bad.console]
        yield from (f"variants.{name}.console: missing" for name in silent)
    elif found.boot_selection.file:
        yield "boot_selection.file: the gateway's own programs have none: it lies in raw sectors"


def _saying(words: str, key: str) -> Iterator[str]:
    """Why a regular expression says nothing: it is none, or is found in whatever a device says."""
    try:
        if re.search(words, "") or re.search(words, "\n"):
            yield f"{key}: {words!r} is found in any text"
    except re.error as error:
        yield f"{key}: {words!r} is no regular expression: {error}"
