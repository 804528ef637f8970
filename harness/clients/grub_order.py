"""One GRUB environment file with ORDER, x_OK and x_TRY: how RAUC's manual integrates GRUB.

It is read by GRUB itself (`grub-fstest`, its file systems run on a file), so what is found is what
a boot will find: GRUB replays no journal, and follows a FAT chain as it is. A slot is bootable that
is OK and was not tried since (RAUC manual, "GRUB"; RAUC's src/bootloaders/grub.c).
"""

import re
from pathlib import Path

from harness import process
from harness.clients.boot_selection import BootSelection, Slot, SlotChoice, SlotState

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
