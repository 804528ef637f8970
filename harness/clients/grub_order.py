"""One GRUB environment file with ORDER, x_OK and x_TRY: how RAUC's manual integrates GRUB.

It is read by GRUB itself (`boot_files`), so what is found is what a boot will find: GRUB replays no
journal, and follows a FAT chain as it is. A slot is bootable that
is OK and was not tried since (RAUC manual, "GRUB"; RAUC's src/bootloaders/grub.c).
"""

import re
from pathlib import Path

from harness.clients import boot_files, selection_words
from harness.clients.boot_selection import (
    ATTEMPTS,
    BootSelection,
    Slot,
    SlotChoice,
    SlotState,
)
from harness.clients.one_copy import OneCopy
from harness.product.profile import SelectionSource

_HEADER = b"# GRUB Environment Block\n"


def variables(partition: Path, file: str) -> dict[str, str] | None:
    """What GRUB finds in `file` of a file system in a file of its own; None when it finds no
    environment there."""
    return _variables(boot_files.content(partition, file))


def _variables(found: bytes | None) -> dict[str, str] | None:
    if not found or not found.startswith(_HEADER):
        return None
    text = found.decode("utf-8", errors="replace").rstrip("#")
    pairs = re.findall(r"^([A-Za-z_]\w*)=(.*)$", text, re.MULTILINE)
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in pairs}


def parse(found: dict[str, str], *, otherwise: Slot) -> BootSelection | None:
    """The boot selection in those variables; None when they name no slot. What was never set is 0,
    as in GRUB's script."""
    order = [Slot(each) for each in found.get("ORDER", "A B").split() if each in list(Slot)]
    if not order:
        return None
    tried = set(order)  # a slot that is not in ORDER is never looked at
    order += [slot for slot in Slot if slot not in tried]
    slots: dict[str, SlotChoice] = {
        slot: SlotChoice(
            state=SlotState.GOOD
            if slot in tried and found.get(f"{slot}_OK") == "1"
            else SlotState.BAD,
            left=0 if found.get(f"{slot}_TRY", "0") != "0" else 1,
        )
        for slot in Slot
    }
    return BootSelection(order=(order[0], order[1]), slots=slots, generation=0, otherwise=otherwise)


class GrubOrder(OneCopy):
    """A `SelectionFormat` of that one file; a copy is the whole partition that it lies in."""

    CHANGE = 1024  # bytes: GRUB's block is two sectors, rewritten in place (`save_env`)

    def __init__(self, source: SelectionSource) -> None:
        selection_words.checked(source, {})
        self._file, self._otherwise = selection_words.file_of(source), Slot(source.otherwise)

    def variables(self, copy: bytes) -> dict[str, str] | None:
        """What GRUB finds there."""
        return _variables(boot_files.read(copy, self._file))

    def parse(self, copy: bytes, attempts: int = ATTEMPTS) -> BootSelection | None:
        """The boot selection there; the design knows one attempt, whatever is promised."""
        found = self.variables(copy)
        return parse(found, otherwise=self._otherwise) if found else None
