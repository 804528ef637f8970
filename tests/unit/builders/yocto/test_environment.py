"""Where fw_env.config says that U-Boot's environment is, and what is no place."""

from pathlib import Path

import pytest

from harness.builders.yocto import environment
from harness.errors import ConfigurationError
from harness.product.layout import Region


def read(folder: Path, text: str, name: str = "fw_env.config") -> tuple[Region, ...]:
    (folder / name).write_text(text)
    return environment.copies({each.name: each for each in folder.iterdir()})


def test_numbers_are_those_of_c(tmp_path: Path) -> None:
    text = "# device, offset, size\n/dev/mmcblk0 0400000 0x10000 # hexadecimal\n"
    assert read(tmp_path, text + "/dev/mmcblk0\t262144 65536 512 128\n") == (
        Region(0o400000, 65536),
        Region(262144, 65536),
    )


def test_nothing_where_there_is_none(tmp_path: Path) -> None:
    assert environment.copies({"u-boot.bin": tmp_path / "u-boot.bin"}) == ()


def test_two_files_must_say_the_same(tmp_path: Path) -> None:
    text = "/dev/mmcblk0 0x40000 0x10000\n"
    read(tmp_path, text)
    assert read(tmp_path, "# the same\n" + text, "fw_env.config.default")
    with pytest.raises(ConfigurationError, match=r"default: says other places than fw_env\.config"):
        read(tmp_path, text.replace("4", "5"), "fw_env.config.default")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must name one or two places"),
        ("/dev/mmcblk0 0x40000\n", "must name one or two places"),
        ("/dev/mmcblk0 1 2\n" * 3, "must name one or two places"),
        ("/dev/mmcblk0 -0x10000 0x1000\n", "'-0x10000 0x1000' is no offset"),
        ("/dev/mmcblk0 0x99999999999999999 1\n", "is no offset"),
        ("/dev/mmcblk0 four 0x1000\n", "'four 0x1000' is no offset"),
        ("/boot/uboot.env 0x0000 0x4000\n", r"/boot/uboot\.env is not the disk"),
        ("/dev/mmcblk0boot0 0 0x4000\n", "mmcblk0boot0 is not the disk"),
        ("/dev/mtd1 0 0x4000\n", "mtd1 is not the disk"),
        ("/dev/mmcblk0 0 0x4000\n/dev/mmcblk1 0 0x4000\n", "mmcblk1 is not the disk"),
    ],
)
def test_what_is_no_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read(tmp_path, text)


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "fw_env.config").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        environment.copies({"fw_env.config": tmp_path / "fw_env.config"})
