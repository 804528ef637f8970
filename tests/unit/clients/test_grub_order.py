"""One GRUB environment file as RAUC's manual has it, read by GRUB's own code."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.clients import grub_order
from harness.clients.boot_selection import Slot
from harness.clients.selection_format import read_copies
from harness.process import run
from harness.product.layout import Region
from harness.product.product import Product
from harness.product.profile import ContentCheck, SelectionSource, Slots
from harness.product.release import Release

FRESH = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "0", "B_TRY": "0"}


def partition(folder: Path, system: str, **changes: str) -> Path:
    """A boot partition with a grubenv, made by GRUB's tool, in a file."""
    source, image = folder / "source", folder / "part.img"
    source.mkdir()
    environment = source / "grubenv"
    run(["grub-editenv", environment, "create"], timeout=30)
    words = [f"{name}={value}" for name, value in {**FRESH, **changes}.items()]
    run(["grub-editenv", environment, "set", *words], timeout=30)
    if system == "fat":
        run(["mkfs.fat", "-C", image, "4096"], timeout=30)
        run(["mcopy", "-i", image, environment, "::"], timeout=30)
    else:
        run(["mke2fs", "-q", "-t", "ext4", "-d", source, image, "4M"], timeout=30)
    return image


@pytest.mark.parametrize("system", ["fat", "ext4"])
def test_a_file_as_grub_reads_it(tmp_path: Path, system: str) -> None:
    image = partition(tmp_path, system, ORDER="B A", B_OK="1", B_TRY="1")
    found = grub_order.variables(image, "/grubenv")
    assert found == {"ORDER": "B A", "A_OK": "1", "A_TRY": "0", "B_OK": "1", "B_TRY": "1"}


def test_an_empty_file_is_none(tmp_path: Path) -> None:
    """What `fsck.fat -a` leaves of a chain that begins with a free cluster."""
    image = partition(tmp_path, "fat")
    run(["mdel", "-i", image, "::grubenv"], timeout=30)
    (tmp_path / "grubenv").touch()
    run(["mcopy", "-i", image, tmp_path / "grubenv", "::"], timeout=30)
    assert grub_order.variables(image, "/grubenv") is None


@pytest.mark.parametrize("content", [b"", b"x" * 4096])
def test_no_file_system(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "part.img").write_bytes(content)
    assert grub_order.variables(tmp_path / "part.img", "/grubenv") is None


@pytest.mark.parametrize(
    ("changes", "primary"),
    [
        ({}, Slot.A),
        ({"ORDER": "B A", "B_OK": "1"}, Slot.B),
        ({"ORDER": "B A", "B_OK": "1", "B_TRY": "1"}, Slot.A),  # its one try is over
        ({"ORDER": "B A", "B_OK": "0"}, Slot.A),
        ({"ORDER": "B", "A_OK": "1", "B_OK": "0"}, Slot.B),  # A is never looked at: `otherwise`
    ],
)
def test_what_grub_will_boot(changes: dict[str, str], primary: Slot) -> None:
    chosen = grub_order.parse({**FRESH, **changes}, otherwise=Slot.B)
    assert chosen is not None
    assert chosen.primary is primary


def test_none_left(tmp_path: Path) -> None:
    tried = {**FRESH, "A_TRY": "1"}
    for otherwise in Slot:
        chosen = grub_order.parse(tried, otherwise=otherwise)
        assert chosen is not None
        assert chosen.primary is otherwise


def test_no_slot_is_no_selection() -> None:
    assert grub_order.parse({"ORDER": "C"}, otherwise=Slot.A) is None


@pytest.mark.parametrize("content", list(ContentCheck))
def test_the_one_copy_of_a_product(tmp_path: Path, content: ContentCheck) -> None:
    """It is read from wherever its layout says, whatever its slots are."""
    disk = bytes(4096) + partition(tmp_path, "fat", ORDER="B A", B_OK="1").read_bytes()
    region = Region(4096, len(disk) - 4096)
    release = SimpleNamespace(
        layout={"slot-A": Region(0, 1), "boot-selection": region, "boot-selection-1": region},
        product=Product(
            client="rauc",
            bootloader="grub-order",
            compatible="c",
            slots=Slots(content=content),
            selection=SelectionSource(reader="grub-order", file="/grubenv"),
        ),
    )
    [found] = read_copies(cast(Release, release), lambda at, length: disk[at : at + length])
    assert found is not None
    assert found.primary is Slot.B
