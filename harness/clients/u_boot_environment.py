"""The boot selection as U-Boot keeps it: a redundant environment, in Mender's variables.

A copy is a CRC-32 (little-endian, of all behind the header), one byte with its serial number, and
`name=value` strings that end with NUL, up to an empty one (U-Boot `include/env_internal.h`,
`struct environment_s`). A change is written to the copy that does not count, with the next serial
number, and so makes it the one that counts (`env/common.c`, `env_import_redund`).
"""

import zlib

from harness.clients.boot_selection import (
    ATTEMPTS,
    BootSelection,
    Copies,
    Slot,
    SlotChoice,
    SlotState,
)

CRC = 4  # bytes: the checksum
_HEADER = CRC + 1  # and the serial number
_SERIALS = 256
_SLOTS = {"2": Slot.A, "3": Slot.B}  # by partition number

SIZE = 64 * 1024  # bytes of a copy (CONFIG_ENV_SIZE)
CHANGE = SIZE  # one of the copies
# Nothing that U-Boot reads back: a product's own variable. Without it most of a copy is padding.
FILL = "fw_setenv gateway_filler $(head -c 40000 /dev/zero | tr '\\0' x)"
HALF = 512  # its first sector is new, and holds the checksum of what is not written yet
CHECKSUM = True  # U-Boot's env_import_redund and libubootenv look at nothing else before it


def variables(copy: bytes) -> dict[str, str] | None:
    """All variables in a copy, as fw_printenv prints them; None when its checksum is wrong."""
    return strings(copy, _HEADER) if len(copy) == SIZE else None


def strings(environment: bytes, header: int) -> dict[str, str] | None:
    """The variables of an environment whose strings begin after `header` bytes, the first four of
    them the checksum; None when that is wrong."""
    content = environment[header:]
    if zlib.crc32(content) != int.from_bytes(environment[:CRC], "little"):
        return None
    text = content.partition(b"\0\0")[0].decode("utf-8", errors="replace")
    pairs = (line.partition("=") for line in text.split("\0") if "=" in line)
    return {key: value for key, _, value in pairs}


def parse(copy: bytes, attempts: int = ATTEMPTS) -> BootSelection | None:
    """The boot selection in one copy on the medium; None when it is torn or none."""
    found = variables(copy)
    if found is None or found.get("mender_boot_part") not in _SLOTS:
        return None
    count = found.get("bootcount", "0")
    if found.get("upgrade_available") not in ("0", "1") or not count.isdecimal():
        return None
    slot = _SLOTS[found["mender_boot_part"]]
    if found["upgrade_available"] == "1":
        left = max(0, attempts - int(count))
        choices = (SlotState.TRIAL, left), (SlotState.GOOD, attempts)
    else:
        choices = (SlotState.GOOD, attempts), (SlotState.BAD, attempts)
    return BootSelection(
        order=(slot, slot.other),
        slots={
            each: SlotChoice(state=state, left=left)
            for each, (state, left) in zip((slot, slot.other), choices, strict=True)
        },
        generation=copy[CRC],
    )


def counting(copies: Copies) -> BootSelection | None:
    """The copy that U-Boot will use: the newer one of those that are whole."""
    first, second = copies
    if first is None or second is None:
        return first or second
    if {first.generation, second.generation} == {0, _SERIALS - 1}:  # 255 is followed by 0
        return first if first.generation == 0 else second
    return second if second.generation > first.generation else first


def redundant(copies: Copies) -> bool:
    """Whether either copy may be lost: both are whole, and one is the other's predecessor."""
    first, second = copies
    if first is None or second is None:
        return False
    return (first.generation - second.generation) % _SERIALS in (1, _SERIALS - 1)


def halfway(copies: Copies, slot: Slot, before: str, after: str) -> bool:
    """Whether a change of `slot` was cut in the middle: one copy torn, the other from before."""
    whole = [copy for copy in copies if copy]
    return len(whole) == 1 and str(whole[0].slots[slot]) == before
