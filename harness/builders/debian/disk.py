"""The disk image: everything put at its place by genimage, with a block map beside it (bmaptool).

The data partition is an empty ext4 with a fixed UUID; nothing on it is initialised lazily, because
a background thread that writes would make two boots of the same image differ.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from harness import process
from harness.errors import BuildError
from harness.product.layout import KEEP, Piece, Region

_UUID = "6a7e0001-da7a-4000-8000-000000000001"


def make(
    output: Path, *, signature: str, pieces: Sequence[Piece], data: Region, folder: Path, epoch: int
) -> Path:
    """Write the disk image (sparse) of `pieces` and an empty data partition, and `<output>.bmap`.

    `data` is that file system; behind it its partition has `KEEP` bytes more, zeros.
    `signature` is the MBR's (8 hex digits); `folder` is for what is only needed here.
    """
    partition = Region(data.offset, data.length + KEEP)
    data_partition(folder / "data.img", data.length, epoch)
    os.truncate(folder / "data.img", partition.length)  # genimage ends the disk with the image
    everything = [*pieces, Piece("data", folder / "data.img", partition, kind="0x83")]
    configuration = folder / "genimage.cfg"
    configuration.write_text(_configuration(output.name, signature, everything), encoding="utf-8")
    (folder / "root").mkdir()
    process.run(
        [
            *("genimage", "--config", configuration, "--rootpath", folder / "root"),
            *("--tmppath", folder / "tmp", "--inputpath", folder),
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


def _configuration(name: str, signature: str, pieces: Sequence[Piece]) -> str:
    """genimage's configuration; what is in no partition is a "hole" of the partition table."""
    text = [
        f"image {name} {{",
        "  hdimage {",
        '    partition-table-type = "mbr"',
        f"    disk-signature = 0x{signature}",
        "    align = 512",
        "  }",
    ]
    for piece in pieces:
        text += [
            f"  partition {piece.label} {{",
            f'    image = "{piece.image.resolve()}"',
            f"    offset = {piece.region.offset}",
        ]
        if piece.kind:
            text += [
                f"    size = {piece.region.length}",
                f"    partition-type = {piece.kind}",
                f"    bootable = {'true' if piece.bootable else 'false'}",
            ]
        else:
            text.append("    in-partition-table = false")
        text.append("  }")
    return "\n".join([*text, "}", ""])


def data_partition(path: Path, size: int, epoch: int) -> None:
    """An empty file system of `size` bytes, as the device makes it anew (/usr/lib/gateway/data)."""
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
