"""A slot that is mounted for writing, held against what was installed: real ext4, real readers."""

import os
from pathlib import Path

import pytest

from harness.process import run
from harness.product import trees

SOURCE = {"etc/conf": b"conf\n", "etc/machine-id": b"", "usr/bin/tool": b"tool" * 5000}


def image(folder: Path, name: str, **changes: bytes) -> Path:
    """An ext4 file system with SOURCE in it, and other content where `changes` says so."""
    root, made = folder / f"{name}.root", folder / f"{name}.img"
    for path, content in {**SOURCE, **changes}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "etc/link").symlink_to("conf")
    run(["mke2fs", "-q", "-t", "ext4", "-d", root, made, "8M"], timeout=30)
    return made


def differences(folder: Path, *allowed: str, **changes: bytes) -> list[str]:
    wanted, found = trees.read(image(folder, "a")), trees.read(image(folder, "b", **changes))
    assert wanted is not None
    assert found is not None
    return trees.differences(found, wanted, allowed=allowed)


def test_a_tree(tmp_path: Path) -> None:
    tree = trees.read(image(tmp_path, "a"))
    assert tree is not None
    assert set(tree) == {
        *(".", "etc", "etc/conf", "etc/link", "etc/machine-id", "lost+found"),
        *("usr", "usr/bin", "usr/bin/tool"),
    }
    assert (tree["etc/link"].kind, tree["etc/link"].content) == ("link", "conf")


def test_the_same_files_in_another_file_system(tmp_path: Path) -> None:
    assert differences(tmp_path) == []


def test_another_content(tmp_path: Path) -> None:
    assert differences(tmp_path, **{"usr/bin/tool": b"tool" * 4999 + b"evil"}) == ["usr/bin/tool"]


def test_what_may_differ(tmp_path: Path) -> None:
    changes = {"etc/machine-id": b"1\n", "var/log/a/b": b"x"}
    assert differences(tmp_path, "etc/machine-id", "var", **changes) == []
    assert trees.differences({}, {}, allowed=["*"]) == []


def test_an_allowed_name_is_no_beginning(tmp_path: Path) -> None:
    assert "var" in differences(tmp_path, "v", **{"var/x": b""})


@pytest.mark.parametrize("how", ["mode", "owner", "gone"])
def test_what_is_not_content(tmp_path: Path, how: str) -> None:
    made = image(tmp_path, "b")
    command = {
        "mode": "set_inode_field usr/bin/tool mode 0104755",
        "owner": "set_inode_field usr/bin/tool uid 1234",
        "gone": "unlink usr/bin/tool",
    }[how]
    run(["debugfs", "-w", "-R", command, made], timeout=30)
    if how == "gone":  # a link that is gone leaves an inode behind, and e2fsck mends that
        run(["e2fsck", "-fy", made], timeout=30, check=False)
    wanted, found = trees.read(image(tmp_path, "a")), trees.read(made)
    assert wanted is not None
    assert found is not None
    assert trees.differences(found, wanted, allowed=["lost+found"]) == ["usr/bin/tool"]


def test_a_file_system_that_is_not_sound(tmp_path: Path) -> None:
    made = image(tmp_path, "a")
    with made.open("r+b") as stream:
        stream.seek(1024 + 0x38)  # the superblock's magic
        stream.write(b"\0\0")
        stream.seek(4096 * 20)
        stream.write(os.urandom(4096 * 60))
    assert trees.read(made) is None


@pytest.mark.parametrize("damage", [["setb 7000 5"], ["freei <12>"], []])
def test_what_its_kernel_has_called_damaged_is_not_mended_first(
    tmp_path: Path, damage: list[str]
) -> None:
    """`e2fsck -p` mends bitmaps of a file system that is marked so, and takes the mark away."""
    made = image(tmp_path, "a")
    for command in (*damage, "set_super_value state 2"):
        run(["debugfs", "-w", "-R", command, made], timeout=30)
    assert trees.read(made) is None


@pytest.mark.parametrize("damage", ["setb 7000 5", "freei <12>"])
def test_what_nobody_has_noticed_is_found(tmp_path: Path, damage: str) -> None:
    made = image(tmp_path, "a")
    run(["debugfs", "-w", "-R", damage, made], timeout=30)
    assert trees.read(made) is None


def test_the_image_itself_is_not_touched(tmp_path: Path) -> None:
    made = image(tmp_path, "a")
    before = made.read_bytes()
    trees.read(made)
    assert made.read_bytes() == before
