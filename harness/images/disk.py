"""The disk image: everything put at its place by genimage, with a block map beside it (bmaptool).

The data partition is an empty ext4 with a fixed UUID; nothing on it is initialised lazily, because
a background thread that writes would make two boots of the same image differ.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import process
from harness.errors import BuildError
from harness.images import bootloader, layout
from harness.images.layout import Region

_UUID = "6a7e0001-da7a-4000-8000-000000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What goes onto a disk; the slot image goes into both slots."""

    signature: str
    boot: bytes
    slot: Path
    regions: Mapping[str, Region]


def make(parts: Parts, output: Path, *, epoch: int) -> Path:
    """Write the disk image (sparse) and `<output>.bmap`; returns `output`."""
    with tempfile.TemporaryDirectory(prefix="harness-disk-") as name:
        folder = Path(name)
        inputs = folder / "in"
        inputs.mkdir()
        (inputs / "boot.img").write_bytes(parts.boot)
        (inputs / "slot.img").symlink_to(parts.slot.resolve())
        bootloader.core_image(inputs / "core.img")
        (inputs / "mbr.img").write_bytes(bootloader.boot_sector())
        _data_partition(inputs / "data.img", parts.regions["data"].length, epoch)
        (folder / "genimage.cfg").write_text(_configuration(output.name, parts), encoding="utf-8")
        (folder / "root").mkdir()
        process.run(
            [
                *("genimage", "--config", folder / "genimage.cfg", "--rootpath", folder / "root"),
                *("--tmppath", folder / "tmp", "--inputpath", inputs),
                *("--outputpath", output.parent),
            ],
            timeout=300,
            error=BuildError,
        )
    block_map(output)
    return output


def block_map(image: Path) -> Path:
    """Write the block map of an image: only mapped blocks need flashing."""
    target = image.with_name(image.name + ".bmap")
    process.run(["bmaptool", "create", "-o", target, image], timeout=120, error=BuildError)
    return target


def _configuration(name: str, parts: Parts) -> str:
    """genimage's configuration; the boot loader areas are "holes" outside the partition table."""
    regions = parts.regions
    partitions = [
        ("boot", "boot.img", "0xda", layout.BOOT_PARTITION),
        ("slot-A", "slot.img", "0x83", regions["slot-A"]),
        ("slot-B", "slot.img", "0x83", regions["slot-B"]),
        ("data", "data.img", "0x83", regions["data"]),
    ]
    text = [
        f"image {name} {{",
        "  hdimage {",
        '    partition-table-type = "mbr"',
        f"    disk-signature = 0x{parts.signature}",
        "    align = 512",
        "  }",
        _raw("mbr", "mbr.img", 0),
        _raw("core", "core.img", layout.CORE * layout.SECTOR),
    ]
    for label, image, kind, region in partitions:
        text += [
            f"  partition {label} {{",
            f'    image = "{image}"',
            f"    partition-type = {kind}",
            f"    offset = {region.offset}",
            f"    size = {region.length}",
            "  }",
        ]
    return "\n".join([*text, "}", ""])


def _raw(label: str, image: str, offset: int) -> str:
    return (
        f'  partition {label} {{\n    image = "{image}"\n    in-partition-table = false\n'
        f"    offset = {offset}\n  }}"
    )


def _data_partition(path: Path, size: int, epoch: int) -> None:
    with path.open("wb") as stream:
        stream.truncate(size)
    process.run(
        [
            *(
                "mke2fs",
                "-q",
                "-F",
                "-t",
                "ext4",
                "-L",
                "data",
                "-U",
                _UUID,
                "-m",
                "0",
                "-b",
                "4096",
            ),
            *("-E", f"hash_seed={_UUID},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"),
            path,
        ],
        timeout=60,
        error=BuildError,
        env={"E2FSPROGS_FAKE_TIME": str(epoch), "SOURCE_DATE_EPOCH": str(epoch)},
    )
