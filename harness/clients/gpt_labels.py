"""GPT partition labels as a boot selection: the newest version that a label names is booted.

So systemd-sysupdate marks what it has written whole, and an image's initramfs finds its root. The
copy begins with the disk's first sector; of the table only the primary one is looked at, by
libblkid, as udev does (a disk whose primary table is torn is read from its backup by some firmware,
and not by others). Labels know neither a trial nor attempts.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness import version
from harness.clients import selection_words
from harness.clients.boot_selection import (
    ATTEMPTS,
    BootSelection,
    Slot,
    SlotChoice,
    SlotState,
)
from harness.clients.one_copy import OneCopy
from harness.errors import ConfigurationError
from harness.product import partitions
from harness.product.layout import SECTOR
from harness.product.partitions import Partition
from harness.product.profile import SelectionSource

SLOT_WORDS = {"label": r"(?:.*_)?(?P<version>\d[^_]*)", "A": "2", "B": "3"}
_SIGNATURE = b"EFI PART"
_ALTERNATE = (
    32  # byte in the header where it says which sector is the disk's last (UEFI 2.10, 5.3.2)
)


def table(head: bytes) -> Mapping[int, Partition]:
    """The partitions that the first sectors of a disk name; none when there is no sound table."""
    header = head[SECTOR : 2 * SECTOR]
    if not header.startswith(_SIGNATURE):
        return {}
    last = int.from_bytes(header[_ALTERNATE : _ALTERNATE + 8], "little")
    with tempfile.NamedTemporaryFile(prefix="table-") as disk:
        disk.write(head)
        disk.flush()
        try:
            os.truncate(disk.name, (last + 1) * SECTOR)  # libblkid looks whether they fit
            return partitions.read(Path(disk.name))
        except (ConfigurationError, OSError, OverflowError):
            return {}


class SlotLabels:
    """Which version each slot's label names: words `label` (a regular expression with a group
    `version`), `A` and `B` (numbers of partitions)."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._label = selection_words.pattern(words, "label", "version")
        self._numbers = {slot: selection_words.number(words, slot) for slot in Slot}

    def versions(self, found: Mapping[int, Partition]) -> dict[Slot, str]:
        """Of the slots whose label names one."""
        named = {}
        for slot, number in self._numbers.items():
            match = self._label.fullmatch(found[number].name) if number in found else None
            if match and not version.problem(match["version"]):
                named[slot] = match["version"]
        return named


class GptLabels(OneCopy):
    """A `SelectionFormat`; a copy is the disk from its first sector to behind the table."""

    def __init__(self, source: SelectionSource) -> None:
        self._labels = SlotLabels(selection_words.checked(source, SLOT_WORDS))
        self._otherwise = Slot(source.otherwise)

    def variables(self, copy: bytes) -> dict[str, str] | None:
        """Each partition's label, by its number; None where there is no table."""
        found = table(copy)
        return {str(number): each.name for number, each in found.items()} or None

    def parse(self, copy: bytes, attempts: int = ATTEMPTS) -> BootSelection | None:
        """The boot selection there; None when no label names a version."""
        versions = self._labels.versions(table(copy))
        if not versions:
            return None
        newest_first = sorted(versions, key=lambda slot: version.key(versions[slot]), reverse=True)
        order = (newest_first[0], newest_first[0].other)
        slots: dict[str, SlotChoice] = {
            slot: SlotChoice(
                state=SlotState.GOOD if slot in versions else SlotState.BAD, left=attempts
            )
            for slot in Slot
        }
        return BootSelection(order=order, slots=slots, generation=0, otherwise=self._otherwise)
