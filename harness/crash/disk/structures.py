"""Names what a write on the medium touches: an environment copy, an ext4 journal commit, bulk data.

A region of the disk comes from the release's layout, what lies inside the data partition from
`filesystem`. Whether a journal block is a descriptor or a commit is in its own header
(docs.kernel.org/filesystems/ext4/journal.html).
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.crash.disk import ext4
from harness.crash.disk.ext4 import FileSystem
from harness.errors import ConfigurationError
from harness.product.layout import SECTOR
from harness.product.release import Release

BULK = 64 * 1024  # bytes in one go; from there on nobody asks which file it was
_GPT_END = 34 * SECTOR  # protective MBR, header, 128 entries (UEFI specification, 5.3)
_PROTECTIVE = 0xEE
_SIGNATURES_OF_FAT = {54: b"FAT", 82: b"FAT32"}  # offset in the boot sector -> what is there

_JBD2_MAGIC = 0xC03B3998
_JBD2_TYPES = {1: "descriptor", 2: "commit", 3: "superblock", 4: "superblock", 5: "revoke"}
_JOURNAL = "ext4 journal: "

# What dumpe2fs calls a part of a group -> what its blocks are.
_PARTS = {
    ext4.SUPERBLOCK: "ext4 superblock",
    "Group descriptors": "ext4 group descriptors",
    "Reserved GDT blocks": "ext4 group descriptors",
    "Block bitmap": "ext4 block bitmap",
    "Inode bitmap": "ext4 inode bitmap",
    ext4.INODE_TABLE: "ext4 inode table",
}


class Structures:
    """Names of the structures on one disk. `name` is asked of all writes in the order of the log:
    a write of a single sector belongs to what the sectors before it began.

    `layout` maps region names to (offset, length) in bytes; `image` is the disk image. Raises
    ConfigurationError when its data partition is no ext4 file system.
    """

    def __init__(self, layout: Mapping[str, tuple[int, int]], bootloader: str, image: Path) -> None:
        self._regions = {
            name: region for name, region in layout.items() if name != "boot-selection"
        }
        self._bootloader = bootloader
        first = self._regions.get("boot") or layout["boot-selection"]
        self._gpt, self._fat = _boot_format(image, first[0])
        self._data = Ext4(ext4.find(image, self._regions["data"]))
        self._before = (0, 0)  # where the run of writes that the last one belongs to began, ended

    @classmethod
    def of(cls, release: Release) -> "Structures":
        """Those of the disk that a release is flashed to."""
        return cls(release.layout, release.product.bootloader, release.disk_image)

    def region(self, offset: int) -> str:
        """The layout's name for the place, or `` outside all regions."""
        for name, (start, length) in self._regions.items():
            if start <= offset < start + length:
                return name
        return ""

    def name(self, offset: int, length: int, payload: bytes = b"") -> str:
        """What `length` bytes at `offset` (of the disk) are; `payload` is empty for zeros."""
        begun, ended = self._before
        self._before = (begun if offset == ended else offset, offset + length)
        region = self.region(offset)
        if region == "data":
            bulk = self._before[1] - self._before[0] >= BULK
            return self._data.name(offset - self._regions["data"][0], length, payload, bulk=bulk)
        if region.startswith("slot-"):
            return f"slot {region.removeprefix('slot-')} bulk data"
        if region.startswith("keep-"):
            return "repair mark" if region == "keep-mark" else f"kept copy {region[-1]}"
        if region.startswith("boot"):
            return self._of_boot(region)
        return self._unclaimed(offset)

    def _of_boot(self, region: str) -> str:
        """A copy of the boot selection, or a file system, which may have it in a file."""
        copy = int(region[-1]) if region.startswith("boot-selection-") else 0
        raw = {"grub": f"grubenv copy {copy}", "u-boot": f"environment copy {copy - 1}"}
        files = "FAT" if self._fat else "boot files"
        return raw.get(self._bootloader, files) if copy else files

    def _unclaimed(self, offset: int) -> str:
        """Space that no region of the layout has: in front of the first one, or between two."""
        if offset < SECTOR:
            return "MBR"
        if self._gpt and offset < _GPT_END:
            return "GPT"
        if self._bootloader != "grub":
            return "unused space"
        first = min(start for start, _ in self._regions.values())
        return "bootloader core" if offset < first else "boot files"


class Ext4:
    """The structures of an ext4 file system."""

    def __init__(self, system: FileSystem) -> None:
        self.block = system.block_size
        self._ranges = sorted(
            {
                *((first, last, _PARTS[name]) for first, last, name in system.parts),
                *((block, block, _JOURNAL) for block in system.journal),
            }
        )
        self._starts = [first for first, _, _ in self._ranges]
        self._types: dict[int, str] = {}  # journal block -> what its newest header said

    def name(self, offset: int, length: int, payload: bytes, *, bulk: bool) -> str:
        """What `length` bytes at `offset` of the file system are; several names with ` + `."""
        found = dict.fromkeys(self._blocks(offset, length, payload))
        data = "bulk data" if bulk else "directory or file data"
        words = [text or data for text in found]
        journal = [text.removeprefix(_JOURNAL) for text in words if text.startswith(_JOURNAL)]
        if journal:
            words = [text for text in words if not text.startswith(_JOURNAL)]
            words.append(_JOURNAL + " + ".join(journal))
        return " + ".join(words)

    def _blocks(self, offset: int, length: int, payload: bytes) -> Iterator[str]:
        """The name of each block that is touched, `` for content of files and directories."""
        for number in range(offset // self.block, -(-(offset + length) // self.block)):
            at = bisect_right(self._starts, number) - 1
            inside = at >= 0 and number <= self._ranges[at][1]
            text = self._ranges[at][2] if inside else ""
            if text == _JOURNAL:
                text += self._journal(number, payload, number * self.block - offset)
            yield text

    def _journal(self, number: int, payload: bytes, at: int) -> str:
        """What a journal block holds, whose first byte is byte `at` of the payload, or before."""
        if at >= 0:
            header = payload[at : at + 8]
            magic, kind = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
            # jbd2 escapes a journaled block that happens to begin with the magic number.
            known = _JBD2_TYPES.get(kind, "block") if magic == _JBD2_MAGIC else "block"
            self._types[number] = known
        return self._types.get(number, "block")


def metadata(name: str) -> bool:
    """Whether a write with this structure is one that a boot depends on in more than its bytes:
    boot selection, partition table, or anything of a file system but content of files."""
    return name.startswith(("ext4 ", "environment ", "grubenv ", "MBR", "GPT", "FAT")) or (
        " + ext4 " in name
    )


def _boot_format(image: Path, boot: int) -> tuple[bool, bool]:
    """Whether there is a GPT, and whether the region at byte `boot` is a FAT file system."""
    if not image.is_file():
        raise ConfigurationError(
            f"{image}: missing", hint="the release was deleted: build it again"
        )
    with image.open("rb") as stream:
        head = stream.read(SECTOR)
        stream.seek(boot)
        sector = stream.read(SECTOR)
    gpt = len(head) == SECTOR and head[450] == _PROTECTIVE  # type of the first partition
    fat = any(sector[at:].startswith(text) for at, text in _SIGNATURES_OF_FAT.items())
    return gpt, fat
