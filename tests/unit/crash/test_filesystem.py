"""What of an ext4 file system counts for a boot, on a real (small) one; debugfs changes it, and
e2fsck and debugfs say what they accept."""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from harness.crash.disk import ext4
from harness.crash.disk.metadata import Metadata, plain_superblock, superblock_accepted
from harness.crash.states.contents import SECTOR
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


def run(*words: str | Path) -> tuple[int, str]:
    """Exit code, and all that was said."""
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def plain(image: Path) -> list[bytes]:
    """All sectors of inode tables without their bookkeeping."""
    known, content = Metadata(ext4.find(image, (0, SIZE))), image.read_bytes()
    return [known.plain_inodes(at, content[at * SECTOR : (at + 1) * SECTOR]) for at in known.inodes]


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


def sectors_of(image: Path, places: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    content = image.read_bytes()
    return ((at, content[at * SECTOR : (at + 1) * SECTOR]) for at in places)


@pytest.mark.parametrize("field", ["atime", "mtime", "version", "checksum"])
def test_of_an_inode_that_is_refused_everything_counts(image: Path, field: str) -> None:
    known = Metadata(ext4.find(image, (0, SIZE)))
    before, raw = plain(image), bytearray(image.read_bytes())
    (sector,) = (at for at, first in known.inodes.items() if first == 11)  # and 12, the file
    place = (
        sector * SECTOR + 256 + {"atime": 8, "mtime": 16, "version": 0x24, "checksum": 0x7C}[field]
    )
    raw[place] ^= 1
    image.write_bytes(raw)
    _, told = run("debugfs", "-R", "stat file", image)
    assert "checksum does not match" in told
    assert plain(image) != before
    assert [at for at, data in sectors_of(image, known.inodes) if not known.accepted(at, data)] == [
        sector
    ]


def test_all_inodes_and_descriptors_of_a_sound_file_system_are_accepted(image: Path) -> None:
    known = Metadata(ext4.find(image, (0, SIZE)))
    everything = [*known.inodes, *known.groups]
    assert known.groups and all(known.accepted(*each) for each in sectors_of(image, everything))


def test_a_descriptor_that_is_refused(image: Path) -> None:
    known = Metadata(ext4.find(image, (0, SIZE)))
    (sector,) = known.groups
    raw = bytearray(image.read_bytes())
    raw[sector * SECTOR + 0x0C] ^= 1  # bg_free_blocks_count_lo
    image.write_bytes(raw)
    _, told = run("e2fsck", "-fn", image)
    assert "descriptor 0 checksum" in told
    assert not known.accepted(*next(sectors_of(image, [sector])))


@pytest.mark.parametrize("place", [0x0C, 0x2C, 0x34, 0x178, 0x274, 0x3FC, 0x38])
def test_a_superblock_that_is_refused_counts_as_it_is(image: Path, place: int) -> None:
    """Each byte is bookkeeping, but for the last, the magic. e2fsck -p gives up with code 8."""
    raw = bytearray(image.read_bytes())
    good = bytes(raw[1024:2048])
    assert superblock_accepted(good) and plain_superblock(good) != good
    raw[1024 + place] ^= 1
    image.write_bytes(raw)
    assert run("e2fsck", "-p", image)[0] == 8
    bad = bytes(raw[1024:2048])
    assert not superblock_accepted(bad) and plain_superblock(bad) == bad


def test_without_checksums_a_superblock_is_known_by_its_magic(image: Path) -> None:
    words = ["-t", "ext4", "-O", "^metadata_csum"]
    subprocess.run(["mke2fs", "-q", "-F", *words, image], check=True)
    raw = bytearray(image.read_bytes())
    before = plain_superblock(bytes(raw[1024:2048]))
    raw[1024 + 0x2C] ^= 1  # s_mtime
    image.write_bytes(raw)
    assert run("e2fsck", "-p", image)[0] == 0
    assert plain_superblock(bytes(raw[1024:2048])) == before


def test_no_file_system(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(bytes(SIZE))
    with pytest.raises(ConfigurationError, match="no ext4 file system with a journal at byte 0"):
        ext4.find(tmp_path / "empty", (0, SIZE))


def test_a_mount_count_counts_where_it_causes_a_check(image: Path) -> None:
    def after(mounts: int) -> bytes:
        debugfs(image, f"set_super_value mnt_count {mounts}")
        return plain_superblock(image.read_bytes()[1024:2048])

    assert after(2) == after(7)
    debugfs(image, "set_super_value max_mnt_count 5")
    assert after(2) != after(7)


def test_what_lies_behind_a_short_inode_is_no_bookkeeping(image: Path) -> None:
    """Extended attributes begin where i_extra_isize says."""
    known = Metadata(ext4.find(image, (0, SIZE)))
    (sector,) = (at for at, first in known.inodes.items() if first == 11)  # and 12, the file

    def after(creation: int) -> bytes:
        debugfs(image, f"set_inode_field <12> crtime @{creation}")
        ((_, data),) = sectors_of(image, [sector])
        assert known.accepted(sector, data)
        return known.plain_inodes(sector, data)

    assert after(1700000001) == after(1700000002)
    debugfs(image, "set_inode_field <12> extra_isize 4")
    raw = image.read_bytes()[sector * SECTOR : (sector + 1) * SECTOR]
    assert known.accepted(sector, raw)
    assert known.plain_inodes(sector, raw)[256 + 0x90 : 256 + 0x94] == raw[256 + 0x90 : 256 + 0x94]
    assert any(raw[256 + 0x90 : 256 + 0x94])
