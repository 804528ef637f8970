"""What the Raspberry Pi 4's firmware does before U-Boot, and QEMU does not do.

The VideoCore loads the kernel and the devicetree that config.txt names from the card's first FAT
partition, applies overlays to the devicetree and starts the kernel (here: U-Boot). QEMU starts
what `-kernel` and `-dtb` name, so both are read from the medium as it is at each boot, the
devicetree gets our overlay for QEMU (raspi4b.dtso) and nothing else is changed.

https://www.raspberrypi.com/documentation/computers/config_txt.html
"""

import secrets
import shutil
import struct
from pathlib import Path

from harness import process
from harness.errors import DeviceError, LabError

_OVERLAY = Path(__file__).with_name("raspi4b.dtso")
_FAT = {0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E}  # MBR partition types
_SECTOR = 512


def card_area(table: bytes) -> int:
    """Bytes from the card's start to the end of the partition that the firmware reads.

    `table`: the card's first sector. Raises DeviceError when it names no such partition.
    """
    start, length = _boot_partition(table)
    return start + length


def load(card: Path, folder: Path, *, rng_seed: bytes = b"") -> list[str]:
    """QEMU's arguments to boot from a card's image (or its `card_area`); files go below `folder`.

    `rng_seed`: 64 bytes, to give the kernel the same each time; else they are random. Raises
    DeviceError when the card holds nothing that the firmware would start, LabError when the
    devicetree cannot be changed for QEMU.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with card.open("rb") as stream:
        start, _ = _boot_partition(stream.read(_SECTOR))
    settings = _settings(_file(card, start, "config.txt", folder).read_text(errors="replace"))
    kernel = _file(card, start, settings.get("kernel", "kernel8.img"), folder)
    name = settings.get("device_tree", "bcm2711-rpi-4-b.dtb")
    rng_seed = rng_seed or secrets.token_bytes(64)
    devicetree = _for_qemu(_file(card, start, name, folder), folder, rng_seed)
    return ["-kernel", str(kernel), "-dtb", str(devicetree)]


def _boot_partition(table: bytes) -> tuple[int, int]:
    """Byte offset and length of the first FAT partition in the MBR."""
    if table[510:512] == b"\x55\xaa":
        for entry in range(446, 510, 16):
            if table[entry + 4] in _FAT:
                start, length = struct.unpack_from("<II", table, entry + 8)
                return start * _SECTOR, length * _SECTOR
    raise DeviceError("the card has no FAT partition: the firmware finds nothing to start")


def _file(card: Path, start: int, name: str, folder: Path) -> Path:
    target = folder / Path(name).name
    argv = ["mcopy", "-n", "-i", f"{card}@@{start}", f"::/{name}", str(target)]
    done = process.run(argv, timeout=30, check=False, env={"MTOOLS_SKIP_CHECK": "1"})
    if done.returncode != 0 or not target.is_file():
        raise DeviceError(
            f"the card's boot partition has no {name}: the firmware does not get any further",
            details=done.stderr.strip(),
        )
    return target


def _settings(text: str) -> dict[str, str]:
    """The `key=value` lines of config.txt; sections other than [all] and [pi4] do not apply."""
    found, applies = {}, True
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            applies = line in ("[all]", "[pi4]")
        key, equals, value = line.partition("=")
        if applies and equals and not line.startswith("#"):
            found[key.strip()] = value.strip()
    return found


def _for_qemu(devicetree: Path, folder: Path, rng_seed: bytes) -> Path:
    """The devicetree with our overlay applied, and the overlay itself in /chosen.

    From there U-Boot lays it over the devicetree that the slot brings (images/rpi4/u-boot).
    """
    source = folder / "qemu.dtso"
    overlay, merged = source.with_suffix(".dtbo"), source.with_suffix(".dtb")
    # The firmware seeds the kernel's random numbers; QEMU has no generator to do it later.
    seed = f"&{{/chosen}} {{ rng-seed = [{rng_seed.hex()}]; }};\n"
    source.write_text(_OVERLAY.read_text(encoding="utf-8") + seed, encoding="utf-8")
    process.run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", overlay, source], timeout=30)
    process.run(["fdtoverlay", "-i", devicetree, "-o", merged, overlay], timeout=30)
    content = [f"{byte:02x}" for byte in overlay.read_bytes()]
    argv = ["fdtput", "-t", "bx", str(merged), "/chosen", "board-overlay", *content]
    process.run(argv, timeout=30, error=LabError)
    return merged
