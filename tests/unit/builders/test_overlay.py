"""A recipe's folders: what is in them gets into the image, and nothing else of this host does."""

import gzip
import os
from pathlib import Path

import pytest

from harness.builders.debian import initramfs, overlay
from harness.builders.debian.bootloaders import grub
from harness.builders.debian.kernel import Modules
from harness.builders.debian.recipe import EPOCH
from harness.builders.debian.tree import Tree
from harness.errors import ConfigurationError
from tests.unit.builders import samples

SECRET = b"a secret of this host"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a file, a link to a file of this host, and one to a folder of it."""
    made, host = tmp_path / "folder", tmp_path / "host"
    (made / "sub").mkdir(parents=True)
    host.mkdir()
    (host / "secret").write_bytes(SECRET)
    (made / "sub/init").write_bytes(b"#!/bin/sh")
    (made / "link").symlink_to(host / "secret")
    (made / "all").symlink_to(host)
    return made


def test_links_are_named_and_never_followed(folder: Path) -> None:
    assert [name for name, _ in overlay.entries(folder)] == ["all", "link", "sub", "sub/init"]


def test_an_initramfs_keeps_a_link_as_one(folder: Path, tmp_path: Path) -> None:
    (folder / "init").symlink_to("sub/init")
    tree = Tree.of_tar(samples.base_tar(tmp_path / "base.tar"), epoch=EPOCH)
    archive = gzip.decompress(initramfs.make(tree, Modules(tree), [], [folder]))
    assert SECRET not in archive
    for target in (b"sub/init", os.fsencode(folder.parent / "host/secret")):
        assert target in archive


def test_a_boot_partition_has_no_place_for_a_link(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="all: a symbolic link, which the boot partition"):
        grub.boot_partition([folder], "0badcafe")


@pytest.mark.timeout(20)
def test_a_fifo_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    with pytest.raises(ConfigurationError, match="fifo: neither file, folder nor symbolic link"):
        Tree(epoch=EPOCH).lay_over(folder)


def test_a_text_is_not_that_of_another_file(folder: Path) -> None:
    assert overlay.text(folder / "sub/init") == "#!/bin/sh"
    assert overlay.text(folder / "none") == ""
    with pytest.raises(ConfigurationError, match="link: a symbolic link"):
        overlay.text(folder / "link")
