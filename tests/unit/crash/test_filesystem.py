"""What of an ext4 file system counts for a boot, on a real (small) one; debugfs changes it."""

import subprocess
from pathlib import Path

import pytest

from harness.crash import filesystem
from harness.crash.contents import SECTOR
from harness.crash.filesystem import inodes_without_bookkeeping
from harness.errors import ConfigurationError

SIZE = 8 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """With one file, inode 12."""
    found = tmp_path / "disk.img"
    subprocess.run(["truncate", "-s", str(SIZE), found], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-I", "256", found], check=True)
    (tmp_path / "file").write_text("content\n")
    debugfs(found, f"write {tmp_path}/file file")
    return found


def debugfs(image: Path, request: str) -> None:
    subprocess.run(
        ["debugfs", "-w", "-R", request, image], check=True, capture_output=True, timeout=60
    )


def plain(image: Path) -> list[bytes]:
    """All sectors of inode tables without their bookkeeping."""
    system = filesystem.find(image, (0, SIZE))
    content = image.read_bytes()
    return [
        inodes_without_bookkeeping(content[at * SECTOR : (at + 1) * SECTOR])
        for first, count in system.inode_tables()
        for at in range(first, first + count)
    ]


@pytest.mark.parametrize("field", ["atime", "ctime", "mtime", "crtime", "version"])
def test_when_a_file_was_changed_does_not_count(image: Path, field: str) -> None:
    before, raw = plain(image), image.read_bytes()
    value = "77" if field == "version" else "@1700000001"
    debugfs(image, f"set_inode_field <12> {field} {value}")
    assert image.read_bytes() != raw
    assert plain(image) == before


@pytest.mark.parametrize(
    "field", ["size", "mode", "uid", "links_count", "dtime", "flags", "block[2]"]
)
def test_everything_else_of_it_counts(image: Path, field: str) -> None:
    before = plain(image)
    debugfs(image, f"set_inode_field <12> {field} 3")
    assert plain(image) != before


def test_inodes_of_another_size_count_as_they_are(image: Path) -> None:
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-I", "128", image], check=True)
    assert plain(image) == []


def test_no_file_system(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(bytes(SIZE))
    with pytest.raises(ConfigurationError, match="no ext4 file system with a journal at byte 0"):
        filesystem.find(tmp_path / "empty", (0, SIZE))
