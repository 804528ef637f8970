"""The boot selection as GRUB keeps it: two equal copies of one 512-byte environment block.

GRUB manual, "Environment block"; the variables in it are ours (docs/boot-selection.md).
"""

from harness.clients.boot_selection import ATTEMPTS, KEYS, BootSelection, Copies, Slot

_HEADER = "# GRUB Environment Block\n"
BLOCK_SIZE = 512  # bytes: one sector, which is written completely or not at all

CHANGE = 2 * BLOCK_SIZE  # copy 1, then copy 2
FILL = "true"  # a block is always full
HALF = BLOCK_SIZE  # copy 1 is new, copy 2 is not
CHECKSUM = False


def variables(copy: bytes) -> dict[str, str] | None:
    """What the 512 bytes of a copy hold, in the words of the format; None when it is torn.

    Strict: exactly the variables of the format in their order, padded with `#` to the end; anything
    else was not written by a complete write.
    """
    lines = copy.decode("ascii", errors="replace").rstrip("#")
    if len(copy) != BLOCK_SIZE or not lines.startswith(_HEADER) or not lines.endswith("\n"):
        return None
    pairs = [line.partition("=") for line in lines.removeprefix(_HEADER).splitlines()]
    if tuple(key for key, _, _ in pairs) != KEYS:
        return None
    return {key: value for key, _, value in pairs}


def parse(copy: bytes, attempts: int = ATTEMPTS) -> BootSelection | None:
    """The boot selection in one copy on the medium; None when it is torn or none."""
    found = variables(copy)
    try:
        return BootSelection.parse(found, attempts=attempts) if found else None
    except ValueError:
        return None


def counting(copies: Copies) -> BootSelection | None:
    """The copy that the bootloader will use: the newer one, copy 1 where both are as new."""
    whole = [copy for copy in copies if copy]
    return max(whole, key=lambda copy: copy.generation, default=None)


def redundant(copies: Copies) -> bool:
    """Whether either copy may be lost without a loss: both are whole and say the same."""
    first, second = copies
    return first is not None and str(first) == str(second)


def halfway(copies: Copies, slot: Slot, before: str, after: str) -> bool:
    """Whether a change of `slot` (prints of its choice) was cut between its two copies."""
    first, second = copies
    if first is None or second is None:
        return False
    return (str(first.slots[slot]), str(second.slots[slot])) == (after, before)
