"""One GRUB environment file with ORDER, x_OK and x_TRY: how RAUC's manual integrates GRUB.

It is read by GRUB itself (`grub-fstest`, its file systems run on a file), so what is found is what
a boot will find: GRUB replays no journal, and follows a FAT chain as it is. A slot is bootable that
is OK and was not tried since (RAUC manual, "GRUB"; RAUC's src/bootloaders/grub.c).
"""

import re
import tempfile
from pathlib import Path

from harness import process
from harness.clients.boot_selection import (
    ATTEMPTS,
    BootSelection,
    Copies,
    Slot,
    SlotChoice,
    SlotState,
)
from harness.product.profile import SelectionFile

_SECONDS = 60.0
_HEADER = b"# GRUB Environment Block\n"
_KEYS = ("ORDER", "A_OK", "A_TRY", "B_OK", "B_TRY")


def variables(partition: Path, file: str) -> dict[str, str] | None:
    """What GRUB finds in `file` of a file system in a file of its own; None when it finds no
    environment there."""
    argv: list[str | Path] = ["grub-fstest", partition, "cat", f"(loop0){file}"]
    done = process.run(argv, timeout=_SECONDS, check=False, env={"LC_ALL": "C"})
    if done.returncode != 0 or not done.stdout.encode().startswith(_HEADER):
        return None
    pairs = re.findall(r"^([A-Za-z_]\w*)=(.*)$", done.stdout.rstrip("#"), re.MULTILINE)
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


class GrubOrder:
    """A `SelectionFormat` of that one file; a copy is the whole partition that it lies in."""

    CHANGE = 1024  # bytes: GRUB's block is two sectors, rewritten in place (`save_env`)
    FILL = "true"  # a block is always full
    HALF = 512
    CHECKSUM = False

    def __init__(self, file: SelectionFile) -> None:
        self._file = file

    def variables(self, copy: bytes) -> dict[str, str] | None:
        """What GRUB finds there."""
        with tempfile.NamedTemporaryFile(prefix="grubenv-") as partition:
            partition.write(copy)
            partition.flush()
            return variables(Path(partition.name), self._file.file)

    def parse(self, copy: bytes, attempts: int = ATTEMPTS) -> BootSelection | None:
        """The boot selection there; the design knows one attempt, whatever is promised."""
        found = self.variables(copy)
        return parse(found, otherwise=Slot(self._file.otherwise)) if found else None

    def counting(self, copies: Copies) -> BootSelection | None:
        """There is one."""
        return copies[0]

    def redundant(self, copies: Copies) -> bool:
        """It must not be lost."""
        return False

    def halfway(self, copies: Copies, slot: Slot, before: str, after: str) -> bool:
        """A file is rewritten in an order of the file system's: nothing in it tells."""
        return True
