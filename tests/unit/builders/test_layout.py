"""Disk layout and boot partition: the copies of the boot selection are where all parts look."""

import itertools
from pathlib import Path

import pytest

from harness import plugins
from harness.builders.debian import recipe
from harness.builders.debian.bootloaders import bootloader as bootloader_of
from harness.builders.debian.bootloaders import grub
from harness.errors import BuildError
from harness.product.layout import SECTOR, Region
from tests.unit.builders import samples


def test_regions_are_whole_and_apart(tmp_path: Path) -> None:
    regions = grub.regions(recipe.load(samples.recipe_folder(tmp_path)))
    assert regions["boot-selection-1"] == Region(524288, 512)
    assert regions["boot-selection-2"] == Region(786432, 512)
    ordered = [grub.BOOT_PARTITION, *(regions[name] for name in ("slot-A", "slot-B", "data"))]
    for before, after in itertools.pairwise(ordered):
        assert before.offset + before.length == after.offset
    assert ordered[0].offset == 1023 * 512


@pytest.mark.parametrize("bootloader", plugins.names(plugins.BOOTLOADERS))
def test_every_layout_is_whole_and_apart(bootloader: str, tmp_path: Path) -> None:
    small = recipe.load(samples.recipe_folder(tmp_path))
    regions = bootloader_of(bootloader).regions(small)
    selection = regions.pop("boot-selection")
    for copy in ("boot-selection-1", "boot-selection-2"):
        end = regions[copy].offset + regions[copy].length
        assert selection.offset <= regions[copy].offset
        assert end <= selection.offset + selection.length
    starts = sorted(regions.values(), key=lambda region: region.offset)
    for before, after in itertools.pairwise(starts):
        assert before.offset + before.length <= after.offset


def test_boot_partition_holds_both_copies_at_their_sectors(tmp_path: Path) -> None:
    (tmp_path / "grub.cfg").write_text("root=@SIGNATURE@-02", encoding="utf-8")
    content = grub.boot_partition([tmp_path], "0badcafe")
    block = grub.environment_block()
    start = grub.BOOT * SECTOR
    for sector in (grub.SELECTION_1, grub.SELECTION_2):
        offset = sector * SECTOR - start
        assert content[offset : offset + 512] == block
    assert b"root=0badcafe-02" in content
    assert content[257:262] == b"ustar"  # what GRUB knows a tar by
    assert start + len(content) <= grub.SLOTS_START


def test_later_boot_folders_win(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.cfg").write_text(f"policy {name}", encoding="utf-8")
    folders = [tmp_path / "first", tmp_path / "second"]
    content = grub.boot_partition(folders, "0badcafe")
    assert b"policy second" in content
    assert b"policy first" not in content


def test_too_many_boot_files(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (300 << 10))
    with pytest.raises(BuildError, match="do not fit"):
        grub.boot_partition([tmp_path], "0badcafe")


def test_environment_block_is_one_sector() -> None:
    block = grub.environment_block(generation=7, order="B A", states=("trial", "bad"))
    assert len(block) == 512
    assert b"gen_head=00000007\norder=B A\nA_state=trial\n" in block
