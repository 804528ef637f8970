"""Whatever is wrong with a file: one error that says whose fault it is, and names the file."""

import errno
import os
import stat
from pathlib import Path

import pytest

from harness import files
from harness.errors import ConfigurationError, HarnessError, LabError


def damaged(folder: Path, kind: str) -> Path:
    """A path with something wrong."""
    path = folder / "file"
    if kind == "missing":
        return path / "below"
    if kind == "folder":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "long name":
        path = folder / ("x" * 300)
    elif kind == "no name":
        path = folder / "a\0b"
    elif kind == "not UTF-8":
        path.write_bytes(b"text \xff")
    elif kind == "too large":
        path.write_bytes(b"x" * 11)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "missing", "folder", "FIFO", "device", "loop", "long name", "no name", "not UTF-8",
        "too large",
    ],
)  # fmt: skip
@pytest.mark.timeout(10)
def test_a_file_that_cannot_be_read_is_the_users(tmp_path: Path, kind: str) -> None:
    path = damaged(tmp_path, kind)
    with pytest.raises(ConfigurationError) as caught:
        files.text(path, limit=10)
    assert caught.value.brief.startswith(f"{files.shown(path)}: ")
    assert "\n" not in caught.value.brief


def test_text_comes_back_as_it_was_written(tmp_path: Path) -> None:
    files.write_whole(tmp_path / "file", "ä\r\n".encode())
    assert files.text(tmp_path / "file", limit=4) == "ä\r\n"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_is_there_can_be_kept(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        files.write_whole(tmp_path / "key", content, mode=0o600, replace=False)
    assert (tmp_path / "key").read_bytes() == b"first"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.mkdir()
    (target / "content").touch()
    with pytest.raises(ConfigurationError, match="file: Is a directory"):
        files.write_whole(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_the_machines_fault() -> None:
    with (
        pytest.raises(LabError, match="/dev/full: No space left"),
        files.told("/dev/full"),
        Path("/dev/full").open("wb", buffering=0) as stream,
    ):
        stream.write(b"x")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, LabError), (errno.EROFS, LabError), (errno.EMFILE, LabError),
        (errno.EACCES, ConfigurationError), (errno.ENOENT, ConfigurationError),
    ],
)  # fmt: skip
def test_whose_fault_an_error_is(number: int, kind: type[HarnessError]) -> None:
    found = files.trouble("f", OSError(number, os.strerror(number)), hint="h")
    assert (type(found), found.brief, found.hint) == (kind, f"f: {os.strerror(number)}", "h")


def test_a_path_is_one_printable_line() -> None:
    assert files.shown("a b") == "a b"
    assert files.shown("a\n\x1b[2Jb") == r"a\n\x1b[2Jb"
    assert files.shown(os.fsdecode(b"\xff")) == r"\udcff"


def test_what_cannot_be_looked_at_is_neither_file_nor_folder(tmp_path: Path) -> None:
    for kind in ("missing", "loop", "long name", "no name"):
        path = damaged(tmp_path, kind)
        assert (files.is_file(path), files.is_folder(path)) == (False, False)
    assert files.is_folder(tmp_path)


def test_a_private_key_is_private(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = tmp_path / "key"
    key.touch()
    for mode in (0o600, 0o400):
        key.chmod(mode)
        files.require_private(key)
    assert caplog.text == ""
    key.chmod(0o644)
    files.require_private(key)
    assert f"{key}: a private key that others can read (mode 0644)" in caplog.text
    for mode in (0o666, 0o620, 0o602):
        key.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"others can change .mode {mode:04o}"):
            files.require_private(key)
