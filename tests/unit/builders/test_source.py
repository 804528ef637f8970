"""Source packages: what is fetched is unpacked and patched; the fetching itself needs a mirror."""

import io
import tarfile
from pathlib import Path

import pytest

from harness.builders.debian import source
from harness.builders.debian.recipe import PackageBase
from harness.errors import BuildError

BASE = PackageBase(suite="trixie", architecture="arm64", packages=())
PATCH = """--- a/Makefile
+++ b/Makefile
@@ -1 +1 @@
-all: old
+all: new
"""


def _archive(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w:xz") as tar:
        for name, text in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(text)
            tar.addfile(header, io.BytesIO(text.encode()))


def test_upstream_with_debians_patches(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    _archive(work / "boot_1.orig.tar.xz", {"boot-1/Makefile": "all: old\n"})
    (work / "boot_1.orig.tar.xz.asc").write_text("a signature, not an archive")
    patches = {"debian/patches/series": "# why\nfirst.patch # this\n"}
    _archive(work / "boot_1-1.debian.tar.xz", {**patches, "debian/patches/first.patch": PATCH})
    tree = source.unpack("boot", work)
    assert (tree / "Makefile").read_text() == "all: new\n"
    assert not (tree / "debian").exists()


def test_nothing_fetched(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with pytest.raises(BuildError, match="no source package 'boot'") as caught:
        source.unpack("boot", tmp_path / "work")
    assert "apt.log" in caught.value.hint


def test_key_names_all_that_goes_in() -> None:
    keys = {source.key("boot", BASE), source.key("other", BASE), source.key("boot", BASE, "more")}
    assert len(keys) == 3


def test_scratch_is_a_copy_and_goes_away(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("a")
    with source.scratch(tmp_path, tree) as work:
        (work / "file").write_text("b")
    assert (tree / "file").read_text() == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
