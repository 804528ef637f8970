"""What somebody's build has made, and where its parts are on the disk."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import files
from harness.errors import ConfigurationError
from harness.product.layout import KEEP, SECTOR, Region, data_and_copies
from harness.product.partitions import Partition
from harness.product.profile import BOOT, SECOND, SELECTION, Place, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Files of one build. A whole disk and an update artifact are needed; what else there is, is
    held against them or kept."""

    disk: Path
    artifact: Path
    slot: Path | None = None  # the file that the build made slot A and the artifact of
    block_map: Path | None = None  # of the disk (bmaptool)
    kept: Mapping[str, Path] | None = None  # name in the release -> a file that only tells
    copies: tuple[Region, ...] = ()  # of the boot selection, where the build says so


def layout(
    found: Profile, images: Images, table: Mapping[int, Partition], product: Path
) -> dict[str, Region]:
    """Where slots, data and boot selection are; ConfigurationError with all problems at once."""
    problems: list[str] = []
    told = dict(zip((SELECTION, SECOND), images.copies, strict=False))
    regions = {} if SELECTION in found.disk else dict(told)
    for name, place in found.disk.items():
        if region := _region(name, place, table, problems):
            regions[name] = region
    if not problems and SELECTION not in regions:
        problems.append(f"disk.{SELECTION}: missing: nothing says where the boot selection is")
    if not problems:
        problems = [*_other_places(regions, told), *_not_there(regions, found, images.disk)]
    if not problems:
        problems = _overlaps(regions)
    if not problems and regions["slot-A"].length != regions["slot-B"].length:
        problems.append("disk: slot-A and slot-B are not equally large")
    if problems:
        raise ConfigurationError.of(files.shown(product), problems)
    regions["boot-selection-1"] = first = regions[SELECTION]
    if second := regions.get(SECOND):  # the region spans both
        start = min(first.offset, second.offset)
        regions[SELECTION] = Region(start, max(sum(first), sum(second)) - start)
    return regions if found.device else _with_own_programs(regions)


def _region(
    name: str, place: Place, table: Mapping[int, Partition], problems: list[str]
) -> Region | None:
    if place.bytes:
        return Region(*place.bytes)
    fits = [
        each.region
        for each in table.values()
        if place.partition in (each.number, each.name or None)
    ]
    if len(fits) == 1:
        start = 0 if place.table else fits[0].offset
        return Region(start, sum(fits[0]) - start)
    there = ", ".join(f"{each.number} {each.name}".strip() for each in table.values())
    problems.append(
        f"disk.{name}: {len(fits) or 'no'} partitions are called {place.partition!r}:"
        f" the image has {there}"
    )
    return None


def _other_places(regions: Mapping[str, Region], told: Mapping[str, Region]) -> list[str]:
    """What a build says of the boot selection must be what the profile says."""
    return [
        f"disk.{name}: {list(region)} in fw_env.config, {list(regions.get(name, ()))} here"
        for name, region in told.items()
        if regions.get(name) != region
    ]


def _not_there(regions: Mapping[str, Region], found: Profile, disk: Path) -> list[str]:
    """Regions are whole sectors of the disk; the first one is its partition table's."""
    size = disk.stat().st_size
    problems = []
    for name, (offset, length) in regions.items():
        place = found.disk.get(name)
        if offset % SECTOR or length % SECTOR:
            problems.append(f"disk.{name}: {[offset, length]} are not whole sectors")
        elif offset + length > size:
            problems.append(f"disk.{name}: ends behind the {size} bytes of the image")
        elif offset < SECTOR and not (place and place.table):
            problems.append(f"disk.{name}: begins in the sector of the partition table")
    if not found.device and regions["data"].length <= KEEP:
        problems.append(f"disk.data: needs more than the {KEEP} bytes that are kept behind it")
    return problems


def _overlaps(regions: Mapping[str, Region]) -> list[str]:
    """Nothing may be in two of them; a boot partition may have the boot selection in it."""
    ordered = sorted(
        (each for each in regions.items() if each[0] != BOOT), key=lambda each: each[1]
    )
    return [
        f"disk: {one} and {other} overlap"
        for (one, region), (other, next_one) in itertools.pairwise(ordered)
        if sum(region) > next_one.offset
    ]


def _with_own_programs(regions: Mapping[str, Region]) -> dict[str, Region]:
    """What the gateway's own programs keep behind their data, and of the boot partition what the
    boot selection in it leaves."""
    found = {**regions, **data_and_copies(regions["data"])}
    if boot := regions.get(BOOT):
        behind = sum(regions[SELECTION])
        start = behind if boot.offset <= regions[SELECTION].offset < sum(boot) else boot.offset
        found[BOOT] = Region(start, sum(boot) - start)
    return found
