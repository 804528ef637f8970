"""Structures are named on a real (small) ext4 file system; the writes are made up."""

import struct
import subprocess
from pathlib import Path

import pytest

from harness.crash.disk.structures import Structures, metadata
from harness.errors import ConfigurationError

MIB = 1 << 20
BLOCK = 4096
LAYOUT = {
    "boot-selection": (64 * 1024, 128 * 1024),  # both copies and what is between them
    "boot-selection-1": (64 * 1024, 4096),
    "boot-selection-2": (128 * 1024, 4096),
    "boot": (256 * 1024, 256 * 1024),
    "slot-A": (MIB, MIB),
    "slot-B": (2 * MIB, MIB),
    "data": (3 * MIB, 16 * MIB),
}
DATA = LAYOUT["data"][0]
DESCRIPTOR, COMMIT = (struct.pack(">III", 0xC03B3998, kind, 7) for kind in (1, 2))


def make_image(folder: Path) -> Path:
    image = folder / "disk.img"
    with image.open("wb") as stream:
        stream.truncate(DATA + LAYOUT["data"][1])
    subprocess.run(
        [
            *("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-J", "size=4"),
            *("-E", f"offset={DATA}", str(image), "16M"),
        ],
        check=True,
        capture_output=True,
    )
    return image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def structures(image: Path) -> Structures:
    return Structures(LAYOUT, "grub", image)


def block_of(image: Path, request: str) -> int:
    """The number of a block, as debugfs tells it."""
    told = subprocess.run(
        ["debugfs", "-R", request, f"{image}?offset={DATA}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return int(told.split()[0])


@pytest.fixture
def journal(image: Path) -> int:
    """Byte on the disk at which the journal begins."""
    return DATA + block_of(image, "blocks <8>") * BLOCK


def test_regions_of_the_layout(structures: Structures) -> None:
    assert structures.name(0, 512) == "MBR"
    assert structures.name(512, 512) == "bootloader core"
    assert structures.name(64 * 1024, 512) == "grubenv copy 1"
    assert structures.name(128 * 1024, 512) == "grubenv copy 2"
    assert structures.name(256 * 1024, 512) == "boot files"
    assert structures.name(MIB, BLOCK) == "slot A bulk data"
    assert structures.name(2 * MIB + 512, 512) == "slot B bulk data"
    assert structures.region(64 * 1024) == "boot-selection-1"
    assert structures.region(512) == ""


def test_u_boot_counts_its_copies_from_0(image: Path) -> None:
    structures = Structures(LAYOUT, "u-boot", image)
    assert structures.name(64 * 1024 + 512, 512) == "environment copy 0"
    assert structures.name(128 * 1024, 512) == "environment copy 1"
    assert structures.name(512, 512) == "unused space"


def test_fat_and_gpt_are_seen_by_their_content(tmp_path: Path) -> None:
    image = make_image(tmp_path)
    with image.open("r+b") as stream:
        stream.seek(450)
        stream.write(b"\xee")
        stream.seek(LAYOUT["boot"][0] + 82)
        stream.write(b"FAT32   ")
    structures = Structures(LAYOUT, "u-boot", image)
    assert structures.name(512, 512) == "GPT"
    assert structures.name(LAYOUT["boot"][0] + 8192, 512) == "FAT"


def test_ext4_metadata(structures: Structures) -> None:
    assert structures.name(DATA, BLOCK) == "ext4 superblock"
    assert structures.name(DATA + 1024, 512) == "ext4 superblock"
    assert structures.name(DATA, 2 * BLOCK) == "ext4 superblock + ext4 group descriptors"
    names = {structures.name(DATA + number * BLOCK, BLOCK) for number in range(200)}
    assert {"ext4 block bitmap", "ext4 inode bitmap", "ext4 inode table"} <= names


def test_journal_blocks_by_their_header(structures: Structures, journal: int) -> None:
    block = b"x" * BLOCK
    whole = DESCRIPTOR.ljust(BLOCK, b"\0") + block + COMMIT.ljust(BLOCK, b"\0")
    at = journal + BLOCK
    assert structures.name(journal, BLOCK, struct.pack(">II", 0xC03B3998, 4)) == (
        "ext4 journal: superblock"
    )
    assert structures.name(at, 2 * BLOCK, whole) == "ext4 journal: descriptor + block"
    assert structures.name(at + 2 * BLOCK, BLOCK, COMMIT) == "ext4 journal: commit"
    assert structures.name(at, len(whole), whole) == "ext4 journal: descriptor + block + commit"


def test_a_sector_belongs_to_the_header_before_it(structures: Structures, journal: int) -> None:
    """An SD card under QEMU is written one sector a request."""
    at = journal + BLOCK
    assert structures.name(at + 512, 512, b"x" * 512) == "ext4 journal: block"
    assert structures.name(at, 512, COMMIT) == "ext4 journal: commit"
    assert structures.name(at + 512, 512, b"x" * 512) == "ext4 journal: commit"
    assert structures.name(at, 512, b"x" * 512) == "ext4 journal: block"
    assert structures.name(at + 512, 512, COMMIT) == "ext4 journal: block"  # no header there


def test_content_of_files(structures: Structures) -> None:
    end = DATA + LAYOUT["data"][1]
    assert structures.name(end - BLOCK, BLOCK) == "directory or file data"
    assert structures.name(end - MIB, 64 * 1024) == "bulk data"
    at = end - 2 * MIB
    names = [structures.name(at + 512 * number, 512) for number in range(200)]
    assert names[126] == "directory or file data"
    assert names[127:] == ["bulk data"] * 73  # 64 KiB in one go, whatever the requests


def test_what_is_metadata(structures: Structures, journal: int) -> None:
    end = DATA + LAYOUT["data"][1]
    assert all(metadata(structures.name(at, 512)) for at in (0, 64 * 1024, DATA, journal))
    assert not any(metadata(structures.name(at, 512)) for at in (MIB, end - BLOCK))


def test_a_disk_without_ext4_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with pytest.raises(ConfigurationError, match=r"disk\.img: missing"):
        Structures(LAYOUT, "grub", image)
    image.write_bytes(bytes(19 * MIB))
    with pytest.raises(ConfigurationError):
        Structures(LAYOUT, "grub", image)
