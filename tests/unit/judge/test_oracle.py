"""What a slot holds, by the oracle of its product: real ext4, on a medium of bytes."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.boards.capability import MediumRead
from harness.errors import ConfigurationError
from harness.judge import oracle
from harness.process import run
from harness.product.layout import Region
from harness.product.profile import ContentCheck, Slots
from harness.product.release import Digest, Release
from tests.unit.product.test_trees import image

REGION = Region(4096, 10 << 20)  # larger than the file system in it


class Medium:
    """A medium of bytes; `later` is what it reads as after so many reads of its first piece."""

    live = True

    def __init__(self, slot: bytes, later: bytes | None = None) -> None:
        self.slot, self.later, self.looks = slot, later, 0

    def read(self, offset: int, length: int) -> bytes:
        if offset == REGION.offset:
            self.looks += 1
            if self.looks > 1 and self.later is not None:
                self.slot = self.later
        start = offset - REGION.offset
        return self.slot[start : start + length].ljust(length, b"\0")

    def sha256(self, offset: int, length: int) -> str:
        start = offset - REGION.offset
        return hashlib.sha256(self.slot[start : start + length].ljust(length, b"\0")).hexdigest()


def release(
    made: Path, *, content: ContentCheck = ContentCheck.TREE, changes: tuple[str, ...] = ()
) -> Release:
    data = made.read_bytes()
    found = SimpleNamespace(
        version=made.stem,
        slot=Digest(sha256=hashlib.sha256(data).hexdigest(), size=len(data)),
        slot_image=made,
        product=SimpleNamespace(slots=Slots(content=content, changes=changes)),
    )
    return cast(Release, found)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "_PAUSE", 0.0)


def which(medium: Medium, **releases: Release) -> str:
    return oracle.which(cast(MediumRead, medium), REGION, releases)


def test_byte_for_byte(tmp_path: Path) -> None:
    old, new = image(tmp_path, "old"), image(tmp_path, "new", **{"etc/conf": b"new\n"})
    exact = {"old": release(old, content=ContentCheck.EXACT), "new": release(new)}
    assert which(Medium(old.read_bytes()), **exact) == "old"
    assert which(Medium(new.read_bytes()), **exact) == "new"


def written(made: Path, command: str) -> bytes:
    """What is left of a file system after a system has run from it."""
    copy = made.with_suffix(".run")
    copy.write_bytes(made.read_bytes())
    run(["debugfs", "-w", "-R", command, copy], timeout=30)
    run(["e2fsck", "-fy", copy], timeout=30, check=False)
    return copy.read_bytes()


def test_a_running_system_may_change_what_its_product_says(tmp_path: Path) -> None:
    made = image(tmp_path, "old")
    ran = written(made, "set_inode_field etc/machine-id mode 0100600")
    assert which(Medium(ran), old=release(made)) == ""
    assert which(Medium(ran), old=release(made, changes=("etc/machine-id",))) == "old"
    exact = release(made, content=ContentCheck.EXACT, changes=("etc/machine-id",))
    assert which(Medium(ran), old=exact) == ""


def test_a_version_is_never_taken_for_another(tmp_path: Path) -> None:
    old, new = image(tmp_path, "old"), image(tmp_path, "new", **{"etc/conf": b"new\n"})
    ran = written(new, "set_inode_field etc/machine-id mode 0100600")
    both = {
        name: release(made, changes=("etc/machine-id",))
        for name, made in (("old", old), ("new", new))
    }
    assert which(Medium(ran), **both) == "new"
    half = new.read_bytes()[: 4 << 20] + old.read_bytes()[4 << 20 :]
    assert which(Medium(half[: 1 << 20] + bytes(9 << 20)), **both) == ""


def test_versions_that_differ_only_in_what_may_change_are_told(tmp_path: Path) -> None:
    """The slot would be whichever is asked for first."""
    old, new = image(tmp_path, "old"), image(tmp_path, "new", **{"etc/conf": b"new\n"})
    ran = written(new, "set_inode_field etc/machine-id mode 0100600")
    both = {name: release(made, changes=("etc/*",)) for name, made in (("old", old), ("new", new))}
    with pytest.raises(ConfigurationError, match=r"slots\.changes: a slot is as old and new alike"):
        which(Medium(ran), **both)


def test_what_is_written_while_it_is_read_is_looked_at_again(tmp_path: Path) -> None:
    made = image(tmp_path, "old")
    torn = made.read_bytes()[: 64 << 10] + bytes(10 << 20)
    medium = Medium(torn, later=made.read_bytes())
    assert which(medium, old=release(made)) == "old"
    assert medium.looks == 2
    always = Medium(torn)
    assert which(always, old=release(made)) == ""
    assert always.looks == 3
