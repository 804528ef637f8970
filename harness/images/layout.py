"""Where everything lies on a disk of the legacy gateway, in bytes from its start.

docs/architecture.md has the table; docs/boot-selection.md says why the boot selection has copies.
"""

from typing import NamedTuple

SECTOR = 512
MIB = 1 << 20

CORE = 1  # sector of GRUB's core image, where boot.img expects it
# The boot partition is a tar archive that starts right here, so that the contents of its first
# two files, the copies of the boot selection, are these sectors.
BOOT = 1023
SELECTION_1 = 1024
SELECTION_2 = 1536
SLOTS_START = MIB
SELECTION_SIZE = SECTOR


class Region(NamedTuple):
    """A byte range of the disk."""

    offset: int
    length: int


BOOT_PARTITION = Region(BOOT * SECTOR, SLOTS_START - BOOT * SECTOR)


def regions(*, slot_size: int, data_size: int) -> dict[str, Region]:
    """Name -> region, for slots and data of the given sizes (whole MiB)."""
    data = SLOTS_START + 2 * slot_size
    return {
        "boot-selection-1": Region(SELECTION_1 * SECTOR, SELECTION_SIZE),
        "boot-selection-2": Region(SELECTION_2 * SECTOR, SELECTION_SIZE),
        # What of the boot partition is never written after flashing: all but the copies.
        "boot": Region((SELECTION_2 + 1) * SECTOR, SLOTS_START - (SELECTION_2 + 1) * SECTOR),
        "slot-A": Region(SLOTS_START, slot_size),
        "slot-B": Region(SLOTS_START + slot_size, slot_size),
        "data": Region(data, data_size),
    }
