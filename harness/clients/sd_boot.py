"""What systemd-boot will boot: unified kernel images on the ESP, whose names have boot counters.

`NAME+LEFT-DONE.efi`: LEFT attempts are left, DONE were made; without a counter it is known to be
good (https://systemd.io/AUTOMATIC_BOOT_ASSESSMENT, "Details"). A file counts that is a PE image
with the sections that systemd-boot wants to see in one (src/boot/boot.c,
`config_load_type2_entries`: `.osrel`; and what it starts: `.linux`). Those with attempts left come
first, then the newest version. A version's slot is the partition whose GPT label names it
(`gpt_labels`). Copies begin with the disk's first sector.
"""

import re
from dataclasses import dataclass

from harness import version
from harness.clients import boot_files, selection_words
from harness.clients.boot_selection import (
    ATTEMPTS,
    BootSelection,
    Slot,
    SlotChoice,
    SlotState,
)
from harness.clients.gpt_labels import SLOT_WORDS, SlotLabels, table
from harness.clients.one_copy import OneCopy
from harness.product.profile import SelectionSource

_WORDS = {
    **SLOT_WORDS,
    "esp": "1",  # number of its partition
    "folder": "/EFI/Linux",
    "name": r"(?:.*_)?(?P<version>\d[^_]*)\.efi",  # without the counter
}
_COUNTED = re.compile(
    r"(?P<name>.+)\+(?P<left>\d+)(?:-(?P<done>\d+))?(?P<end>\.efi)", re.IGNORECASE
)
_WANTED = {b".osrel", b".linux"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BootEntry:
    """One name on the ESP; `left` is None for one that is not counted."""

    version: str
    left: int | None = None

    @property
    def choice(self) -> tuple[SlotState, int | None]:
        """What it is worth."""
        if self.left is None:
            return SlotState.GOOD, None
        return (SlotState.TRIAL if self.left else SlotState.BAD), self.left


def split(name: str) -> tuple[str, int | None]:
    """A name without its counter, and the attempts left that the counter says."""
    found = _COUNTED.fullmatch(name)
    return (found["name"] + found["end"], int(found["left"])) if found else (name, None)


def sections(image: bytes) -> set[bytes]:
    """Names of the sections of a PE image whose content is all there; none for anything else (PE
    format, "Section Table")."""
    start = int.from_bytes(image[60:64], "little")
    if image[:2] != b"MZ" or image[start : start + 4] != b"PE\0\0":
        return set()
    count = int.from_bytes(image[start + 6 : start + 8], "little")
    first = start + 24 + int.from_bytes(image[start + 20 : start + 22], "little")
    found = set()
    for at in range(first, first + 40 * count, 40):
        size, offset = (int.from_bytes(image[at + n : at + n + 4], "little") for n in (16, 20))
        if size and offset + size <= len(image):
            found.add(image[at : at + 8].rstrip(b"\0"))
    return found


class SdBoot(OneCopy):
    """A `SelectionFormat`; a copy is the disk from its first sector to the end of the ESP."""

    def __init__(self, source: SelectionSource) -> None:
        words = selection_words.checked(source, _WORDS)
        self._labels = SlotLabels(words)
        self._esp, self._folder = selection_words.number(words, "esp"), words["folder"]
        self._name = selection_words.pattern(words, "name", "version")

    def _files(self, copy: bytes) -> dict[str, bytes]:
        found = table(copy)
        if self._esp not in found:
            return {}
        region = found[self._esp].region
        return boot_files.folder(copy[region.offset : sum(region)], self._folder)

    def variables(self, copy: bytes) -> dict[str, str] | None:
        """Each name there, and whether it can be booted; None where there is none."""
        found = self._files(copy)
        told = {
            name: "bootable" if sections(image) >= _WANTED else f"no image, {len(image)} bytes"
            for name, image in found.items()
        }
        return told or None

    def entries(self, copy: bytes) -> list[BootEntry]:
        """What can be booted, first what will be."""
        found = []
        for name, image in self._files(copy).items():
            plain, left = split(name)
            match = self._name.fullmatch(plain)
            if match and not version.problem(match["version"]) and sections(image) >= _WANTED:
                found.append(BootEntry(version=match["version"], left=left))
        return sorted(found, key=_worth, reverse=True)

    def parse(self, copy: bytes, attempts: int = ATTEMPTS) -> BootSelection | None:
        """The boot selection there; None when nothing can be booted whose slot is known."""
        slots = {name: slot for slot, name in self._labels.versions(table(copy)).items()}
        known = [each for each in self.entries(copy) if each.version in slots]
        if not known:
            return None
        worth: dict[str, SlotChoice] = {
            slot: SlotChoice(state=SlotState.BAD, left=0) for slot in Slot
        }
        for entry in reversed(known):  # of two names of one version the first one counts
            state, left = entry.choice
            slot = slots[entry.version]
            worth[slot] = SlotChoice(state=state, left=attempts if left is None else left)
        first = slots[known[0].version]
        return BootSelection(order=(first, first.other), slots=worth, generation=0, otherwise=first)


def _worth(entry: BootEntry) -> tuple[object, ...]:
    """More is booted earlier (`boot_entry_compare`)."""
    return entry.left != 0, version.key(entry.version), entry.left is None, entry.left or 0
