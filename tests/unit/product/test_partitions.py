"""Partition tables of disk images, as util-linux reads them."""

import re
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.process import run
from harness.product import partitions

_GENIMAGE = """\
image disk.img {
    hdimage { partition-table-type = %s }
    partition boot { image = "part" offset = 1M partition-type = 0xC }
    partition rootfs-a { image = "part" partition-type = 0x83 }
}
"""


def disk(folder: Path, table: str) -> Path:
    (folder / "in").mkdir()
    (folder / "root").mkdir()
    (folder / "in/part").write_bytes(bytes(1 << 20))
    text = _GENIMAGE % table
    if table == "gpt":  # genimage takes types by GUID there; none will do
        text = re.sub(r" partition-type = 0x\w+", "", text)
    (folder / "c.cfg").write_text(text)
    run(
        [
            *("genimage", "--config", "c.cfg", "--inputpath", "in", "--rootpath", "root"),
            *("--outputpath", "out", "--tmppath", "tmp"),
        ],
        timeout=60,
        cwd=folder,
    )
    return folder / "out/disk.img"


@pytest.mark.parametrize(("table", "label"), [("mbr", ""), ("gpt", "rootfs-a")])
def test_a_table(tmp_path: Path, table: str, label: str) -> None:
    found = partitions.read(disk(tmp_path, table))
    assert list(found) == [1, 2]
    assert found[1].region == (1 << 20, 1 << 20)
    assert found[2].region == (2 << 20, 1 << 20)
    assert found[2].name == label


def test_no_table(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    with pytest.raises(ConfigurationError, match=r"disk\.img: has no partition table"):
        partitions.read(tmp_path / "disk.img")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"disk\.img: No such file"):
        partitions.read(tmp_path / "disk.img")


def test_an_image_that_was_cut_off(tmp_path: Path) -> None:
    image = disk(tmp_path, "mbr")
    with image.open("r+b") as stream:
        stream.truncate(2 << 20)
    with pytest.raises(ConfigurationError, match=r"partitions \[2\] end behind"):
        partitions.read(image)
