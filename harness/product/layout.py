"""Where things lie on a disk, in bytes from its start; each bootloader has its own plan."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
MIB = 1 << 20
KEEP = MIB  # of the data partition, behind its file system
_COPY = 64 * 1024


class Region(NamedTuple):
    """A byte range of the disk."""

    offset: int
    length: int


class Piece(NamedTuple):
    """What is written to a region; `kind` is its MBR partition type, empty: in no partition."""

    label: str
    image: Path
    region: Region
    kind: str = ""
    bootable: bool = False


def selection_copies(layout: Mapping[str, Region]) -> list[Region]:
    """Where the copies of the boot selection lie, copy 1 first: two in raw sectors, or one file
    system that has it in a file."""
    return [layout[name] for name in sorted(layout) if name.startswith("boot-selection-")]


def slots_and_data(start: int, *, slot_size: int, data_size: int) -> dict[str, Region]:
    """The regions that every disk ends with. `data` is the file system; its partition, `data_size`
    long, ends with two copies of what must survive it (on the device: /usr/lib/gateway/keep)."""
    return {
        "slot-A": Region(start, slot_size),
        "slot-B": Region(start + slot_size, slot_size),
        **data_and_copies(Region(start + 2 * slot_size, data_size)),
    }


def data_and_copies(partition: Region) -> dict[str, Region]:
    """The regions of a data partition."""
    end = partition.offset + partition.length - KEEP
    return {
        "data": Region(partition.offset, partition.length - KEEP),
        "keep-1": Region(end, _COPY),
        "keep-mark": Region(end + KEEP // 4, SECTOR),
        "keep-2": Region(end + KEEP // 2, _COPY),
    }
