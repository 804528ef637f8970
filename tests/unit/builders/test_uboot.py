"""U-Boot's parts of an image: environment, configuration, boot partition."""

import zlib
from pathlib import Path

import pytest

from harness import process
from harness.builders.debian import recipe
from harness.builders.debian.bootloaders import uboot
from harness.builders.debian.build import build
from harness.builders.debian.recipe import Variant
from harness.errors import BuildError, ConfigurationError
from harness.product.layout import KEEP
from tests.unit.builders import samples

RPI4 = Path("images/rpi4")


def _environment(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "environment.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A recipe with U-Boot instead of GRUB."""
    text = "# said\nbootcmd=boot @SIGNATURE@ a=b\n\nbootlimit=3\n"
    _environment(tmp_path / "u-boot", text)
    u_boot = {"source": "u-boot", "defconfig": "x_defconfig", "compiler": "", "folder": "u-boot"}
    return samples.recipe_folder(tmp_path, bootloader="u-boot", **{"u-boot": u_boot})


def test_environment_of_recipe_and_variants(small: Path, tmp_path: Path) -> None:
    variant = Variant(u_boot=_environment(tmp_path / "variant", "bootlimit=0\nmore=1\n"))
    loaded = recipe.load(small)
    expected = "bootcmd=boot 0badcafe a=b\nbootlimit=3\n"
    assert uboot.environment(loaded, []) == expected
    expected = "bootcmd=boot 0badcafe a=b\nbootlimit=0\nmore=1\n"
    assert uboot.environment(loaded, [variant]) == expected


def test_options_that_kconfig_drops_are_errors() -> None:
    config = "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n"
    uboot.require_taken("# why\nCONFIG_A=y\n# CONFIG_C is not set\n# CONFIG_D is not set\n", config)
    uboot.require_taken("# CONFIG_A is not set\nCONFIG_A=y\n", config)  # the last word counts
    with pytest.raises(BuildError, match="CONFIG_B=y; # CONFIG_A is not set"):
        uboot.require_taken("CONFIG_B=y\n# CONFIG_A is not set\n", config)


def test_boot_partition_is_reproducible_fat(tmp_path: Path) -> None:
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        files = {"config.txt": b"kernel=u-boot.bin\n", "overlays/x.dtbo": b"x"}
        made.append(uboot.boot_partition(files, "0badcafe", tmp_path / name))
    assert made[0].read_bytes() == made[1].read_bytes()
    argv = ["mcopy", "-i", str(made[0]), "::/config.txt", "-"]
    assert process.run(argv, timeout=10).stdout == "kernel=u-boot.bin\n"


def test_compression_that_u_boot_cannot_read(small: Path) -> None:
    disk = {**samples.content()["disk"], "compression": "xz"}
    content = {"source": "u-boot", "defconfig": "x_defconfig", "compiler": "", "folder": "u-boot"}
    samples.recipe_folder(small, bootloader="u-boot", disk=disk, **{"u-boot": content})
    with pytest.raises(ConfigurationError, match="1 problem") as caught:
        build(small, version="1.0.0")
    assert "disk.compression: u-boot cannot read 'xz'" in caught.value.details


def test_rpi4_says_the_same_everywhere() -> None:
    """Offsets of the environment: where the image has it, where U-Boot and Linux look for it."""
    config = dict(
        line.split("=", 1)
        for line in (RPI4 / "u-boot/config").read_text(encoding="utf-8").splitlines()
        if line.startswith("CONFIG_")
    )
    first, second = uboot.FIRST, uboot.SECOND
    assert int(config["CONFIG_ENV_OFFSET"], 0) == first.offset
    assert int(config["CONFIG_ENV_OFFSET_REDUND"], 0) == second.offset
    assert int(config["CONFIG_ENV_SIZE"], 0) == first.length == second.length
    lines = (RPI4 / "overlay/etc/fw_env.config").read_text(encoding="utf-8").splitlines()
    rows = [line.split()[1:3] for line in lines if line and not line.startswith("#")]
    assert [(int(a, 0), int(b, 0)) for a, b in rows] == [first, second]


def test_rpi4_fills_a_card() -> None:
    """QEMU takes no SD card whose size is not a power of two."""
    data = uboot.regions(recipe.load(RPI4))["data"]
    end = data.offset + data.length + KEEP
    assert end & (end - 1) == 0


def test_rpi4_boot_partition_has_what_the_firmware_needs() -> None:
    """The documented needs of a Pi 4 (raspberrypi.com: "What is in the boot folder", config.txt):
    the firmware that the settings ask for and the matching fixup, a 64-bit kernel, a devicetree,
    the UART on the header."""
    loaded = recipe.load(RPI4)
    names = {*loaded.boot_files, uboot.PROGRAM}
    names |= {path.name for folder in loaded.boot for path in folder.iterdir()}
    text = (RPI4 / "boot/config.txt").read_text(encoding="utf-8")
    settings = dict(
        line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#"
    )
    kind = "cd" if settings.get("gpu_mem") == "16" else ""  # the cut-down one, and no other
    assert not {"start_file", "fixup_file", "start_x", "start_debug"} & settings.keys()
    assert {f"start4{kind}.elf", f"fixup4{kind}.dat", "config.txt"} <= names
    assert {settings["kernel"], settings["device_tree"]} <= names
    assert settings["arm_64bit"] == "1"
    assert settings["enable_uart"] == "1"


def test_both_copies_of_the_environment_are_whole(tmp_path: Path) -> None:
    """As mkenvimage and U-Boot's env/common.c have it: CRC-32, serial number, variables."""
    for number, path in enumerate(uboot.environment_copies("a=1\nb=2\n", tmp_path), 1):
        copy = path.read_bytes()
        assert len(copy) == uboot.FIRST.length
        assert int.from_bytes(copy[:4], "little") == zlib.crc32(copy[5:])
        assert copy[5:14] == b"a=1\0b=2\0\0"
        assert copy[4] == (1, 0)[number - 1]  # the first one counts
