"""Boot partitions and disks as others make them, with the real tools, in files."""

import struct
from collections.abc import Mapping
from pathlib import Path

from harness.process import run
from harness.product.profile import SelectionSource

SECTOR = 512
ESP_SECTORS = 8192
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LABELS = ("esp", "root_1.0.0", "root_1.1.0")


def source(reader: str, file: str = "", *, otherwise: str = "A", **words: str) -> SelectionSource:
    return SelectionSource(
        reader=reader, file=file, otherwise="B" if otherwise == "B" else "A", words=words
    )


def fat(folder: Path, contents: Mapping[str, bytes], *, name: str = "part.img") -> Path:
    """A FAT file system with those files, by path; made by dosfstools and mtools."""
    image = folder / name
    image.unlink(missing_ok=True)
    run(["mkfs.fat", "-C", image, str(ESP_SECTORS // 2)], timeout=30)
    made: set[str] = set()
    for path, content in contents.items():
        parents = path.strip("/").split("/")[:-1]
        for depth in range(len(parents)):
            parent = "/".join(parents[: depth + 1])
            if parent not in made:
                run(["mmd", "-i", image, f"::/{parent}"], timeout=30)
                made.add(parent)
        (folder / "one-file").write_bytes(content)
        run(["mcopy", "-i", image, folder / "one-file", f"::{path}"], timeout=30)
    return image


def gpt(folder: Path, labels: tuple[str, ...] = LABELS, esp: Path | None = None) -> Path:
    """A disk with a GPT, made by sfdisk: partition 1 is the ESP, the others are slots."""
    disk = folder / "disk.img"
    lines = [f'start=2048, size={ESP_SECTORS}, type={ESP_TYPE}, name="{labels[0]}"']
    lines += [f'size=2048, type=linux, name="{label}"' for label in labels[1:]]
    with disk.open("wb") as stream:
        stream.truncate(16 << 20)
    run(["sfdisk", "--quiet", disk], timeout=30, stdin="label: gpt\n" + "\n".join(lines) + "\n")
    if esp:
        with disk.open("r+b") as stream:
            stream.seek(2048 * SECTOR)
            stream.write(esp.read_bytes())
    return disk


def head(disk: Path) -> bytes:
    """From the first sector to the end of the ESP: what a layout with `table` names."""
    return disk.read_bytes()[: (2048 + ESP_SECTORS) * SECTOR]


def kernel_image(os_release: str, names: tuple[bytes, ...] = (b".osrel", b".linux")) -> bytes:
    """A PE image with those sections, as far as a boot loader reads one before it starts it."""
    text = os_release.encode().ljust(SECTOR, b"\n")  # no NUL: bootctl wants text
    stub = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(names), 0, 0, 0, 112, 0x22E)
    optional = struct.pack("<H", 0x20B).ljust(112, b"\0")
    table = b"".join(
        name.ljust(8, b"\0")
        + struct.pack("<IIII", SECTOR, 0x1000 * number, SECTOR, 1024 * number)
        + bytes(12)
        + struct.pack("<I", 0x40000040)
        for number, name in enumerate(names, 1)
    )
    image = (stub + coff + optional + table).ljust(1024, b"\0")
    return image + b"".join(text.ljust(1024, b"\0") for _ in names)


def uki(version: str) -> bytes:
    return kernel_image(f"ID=product\nIMAGE_ID=product\nIMAGE_VERSION={version}\nPRETTY_NAME=P\n")
