"""What the Pi's firmware does before U-Boot, on cards made with real tools."""

import struct
from pathlib import Path

import pytest

from harness import process
from harness.boards.qemu import pi_firmware
from harness.builders.debian.bootloaders import uboot
from harness.errors import DeviceError

NEEDED = (
    '/dts-v1/; / {{ chosen {{ stdout-path = "serial1"; }}; emmc2bus {{ mmc@7e340000 {{ }}; }};'
    " scb {{ pcie@7d500000 {{ }}; ethernet@7d580000 {{ }}; }}; soc {{ {soc} }}; }};"
)
NODES = (
    *("clock@7ef00000", "interrupt-controller@7ef00100", "hdmi@7ef00700", "hdmi@7ef05700"),
    *("i2c@7ef04500", "i2c@7ef09500", "rng@7e104000", "avs-monitor@7d5d2000", "usb@7e980000"),
    *("watchdog@7e100000", "serial@7e201000"),
)


def _devicetree(folder: Path) -> bytes:
    """A devicetree that has what the overlay changes."""
    soc = " ".join(f"{node} {{ bluetooth {{ }}; }};" for node in NODES)
    source, output = folder / "pi.dts", folder / "pi.dtb"
    source.write_text(NEEDED.format(soc=soc), encoding="utf-8")
    process.run(["dtc", "-q", "-@", "-O", "dtb", "-o", output, source], timeout=10)
    return output.read_bytes()


def _card(folder: Path, files: dict[str, bytes]) -> Path:
    """A card whose first partition is FAT with these files, at sector 2048."""
    work = folder / "work"
    work.mkdir()
    content = uboot.boot_partition(files, "0badcafe", work).read_bytes()
    table = bytearray(512)
    start, length = 2048, len(content) // 512
    table[446:462] = struct.pack("<8B2I", 0x80, 0, 0, 0, 0x0C, 0, 0, 0, start, length)
    table[510:] = b"\x55\xaa"
    card = folder / "card.img"
    card.write_bytes(bytes(table).ljust(2048 * 512, b"\0") + content)
    return card


def test_starts_what_config_txt_names(tmp_path: Path) -> None:
    settings = b"# kernel=not-this\n[pi3]\nkernel=nor-this\n[pi4]\nkernel=u-boot.bin\n"
    settings += b"[all]\ndevice_tree=pi.dtb\n"
    files = {
        "config.txt": settings,
        "u-boot.bin": b"program",
        "pi.dtb": _devicetree(tmp_path),
    }
    card = _card(tmp_path, files)
    assert pi_firmware.card_area(card.read_bytes()[:512]) == card.stat().st_size
    arguments = pi_firmware.load(card, tmp_path / "run")
    named = dict(zip(arguments[::2], map(Path, arguments[1::2]), strict=True))
    assert named["-kernel"].read_bytes() == b"program"

    def said(node: str, name: str, kind: str) -> str:
        argv = ["fdtget", "-t", kind, str(named["-dtb"]), node, name]
        return process.run(argv, timeout=10).stdout.strip()

    assert said("/soc/hdmi@7ef00700", "status", "s") == "disabled"
    assert said("/soc/usb@7e980000", "dr_mode", "s") == "host"
    assert said("/chosen", "stdout-path", "s") == "serial0:115200n8"
    # U-Boot finds the very overlay in there, for the devicetree of the slot.
    overlay = bytes(int(byte, 16) for byte in said("/chosen", "board-overlay", "bx").split())
    assert overlay == (tmp_path / "run/qemu.dtbo").read_bytes()
    assert overlay[:4] == b"\xd0\x0d\xfe\xed"


def test_seeds_differ_or_are_given(tmp_path: Path) -> None:
    files = {
        "config.txt": b"kernel=k\ndevice_tree=pi.dtb",
        "k": b"k",
        "pi.dtb": _devicetree(tmp_path),
    }
    card = _card(tmp_path, files)
    overlays = []
    for seed in (b"", b"", b"1" * 64, b"1" * 64):
        pi_firmware.load(card, tmp_path / "run", rng_seed=seed)
        overlays.append((tmp_path / "run/qemu.dtbo").read_bytes())
    assert len(set(overlays)) == 3
    assert overlays[2] == overlays[3]


@pytest.mark.parametrize("missing", ["config.txt", "u-boot.bin"])
def test_what_is_missing_is_the_products_fault(missing: str, tmp_path: Path) -> None:
    files = {"config.txt": b"kernel=u-boot.bin\n", "u-boot.bin": b"program"}
    del files[missing]
    with pytest.raises(DeviceError, match=f"boot partition has no {missing}"):
        pi_firmware.load(_card(tmp_path, files), tmp_path / "run")


def test_a_card_without_fat(tmp_path: Path) -> None:
    (tmp_path / "card.img").write_bytes(bytes(1 << 20))
    with pytest.raises(DeviceError, match="no FAT partition"):
        pi_firmware.card_area(bytes(512))
    with pytest.raises(DeviceError, match="no FAT partition"):
        pi_firmware.load(tmp_path / "card.img", tmp_path / "run")
