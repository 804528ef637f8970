"""Root file systems as tar members: links, pruning, overlays, and the same bytes every time."""

import tarfile
from pathlib import Path

import pytest

from harness.builders.debian.tree import Tree
from harness.errors import BuildError
from tests.unit.builders import samples

EPOCH = 1_700_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree.of_tar(samples.base_tar(tmp_path / "base.tar"), epoch=EPOCH)


def _members(tree: Tree, path: Path) -> dict[str, tarfile.TarInfo]:
    tree.write(path)
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar}


def test_paths_follow_links_of_folders(tree: Tree) -> None:
    assert "/bin/busybox" in tree
    assert tree.read("/bin/busybox").startswith(b"\x7fELF")
    tree.file("/lib/new", "text")
    assert "/usr/lib/new" in tree
    tree.remove("/bin/busybox")
    assert "/usr/bin/busybox" not in tree


def test_prune_takes_what_is_below(tree: Tree) -> None:
    tree.prune(["/usr/lib/*", "/var"])
    left = tree.paths()
    assert not [path for path in left if path.startswith(("/usr/lib/", "/var"))]
    assert "/etc/shadow" in left


def test_removing_what_is_not_there(tree: Tree) -> None:
    with pytest.raises(BuildError, match="/usr/sbin/init"):
        tree.remove("/usr/sbin/init")


def test_overlay_is_roots_and_keeps_the_executable_bit(tree: Tree, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    (overlay / "usr/sbin").mkdir(parents=True)
    (overlay / "usr/sbin/tool").write_text("#!/bin/sh\n", encoding="utf-8")
    (overlay / "usr/sbin/tool").chmod(0o775)
    (overlay / "usr/sbin/again").symlink_to("tool")
    tree.lay_over(overlay)
    members = _members(tree, tmp_path / "out.tar")
    tool = members["./usr/sbin/tool"]
    assert (tool.mode, tool.uid, tool.uname) == (0o755, 0, "root")
    assert members["./usr/sbin/again"].linkname == "tool"
    assert tree.read("/usr/sbin/again") == b"#!/bin/sh\n"


def test_hard_links_become_files(tmp_path: Path) -> None:
    path = samples.base_tar(tmp_path / "base.tar")
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("./usr/bin/perl")
        link.type, link.linkname = tarfile.LNKTYPE, "./usr/bin/busybox"
        tar.addfile(link)
    tree = Tree.of_tar(path, epoch=EPOCH)
    tree.remove("/usr/bin/busybox")
    written = _members(tree, tmp_path / "out.tar")
    assert written["./usr/bin/perl"].isreg()
    assert tree.read("/usr/bin/perl").startswith(b"\x7fELF")


def test_sorted_and_nothing_newer_than_the_epoch(tree: Tree, tmp_path: Path) -> None:
    members = _members(tree, tmp_path / "out.tar")
    assert list(members) == sorted(members)
    assert {member.mtime for member in members.values()} <= {0, EPOCH}
