"""A disk image and an update artifact that others built become a release.

What is read of an image: its partition table, and slot A, which must begin with the very bytes that
the artifact installs. So slots are known by content, whoever built them.
"""

import itertools
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import files, project, schema
from harness.builders.debian.artifacts import opener
from harness.builders.debian.tools import copy
from harness.builders.finished.built import Adopted
from harness.errors import ConfigurationError
from harness.log import step
from harness.medium.files import write_sparse
from harness.product import partitions, profile
from harness.product import release as releases
from harness.product.layout import Region
from harness.product.partitions import Partition
from harness.product.product import Product
from harness.product.profile import SECOND, Profile
from harness.product.release import Digest, Release

_PIECE = 1 << 20  # bytes


def adopt(
    image: Path,
    artifact: Path,
    *,
    product: Path,
    version: str,
    output: Path,
    variants: Sequence[str] = (),
) -> Release:
    """Make a release in `output`, a folder that is not there yet or is empty.

    `variants`: what is wrong with this version, for tests that need a bad one. Raises
    ConfigurationError that names image, artifact or the key of the profile that does not fit.
    """
    found = profile.load(product)
    with files.opened(artifact):
        pass
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigurationError(
            f"{files.shown(output)}: exists and is not empty", hint="name a new folder"
        )
    table = partitions.read(image)
    layout = _layout(found, table, product)
    with step("read artifact", artifact=str(artifact)):
        payload = opener(found.client).payload(artifact, limit=layout["slot-A"].length)
    about = Adopted(
        profile=project.told(product),
        profile_sha256=releases.digest(product).sha256,
        image=project.told(image),
        variants={name: bad.release for name, bad in found.variants.items()},
    )
    files.make_folder(output.parent)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=output.parent) as name:
        work = Path(name) / "release"
        work.mkdir()
        with step("read slot A", image=str(image)):
            _take_slot(image, layout["slot-A"].offset, payload, work / "slot.img", artifact)
        with step("copy"):
            copy(image, work / "disk.img")
            copy(artifact, work / artifact.name)
        release = Release(
            folder=work,
            machine=found.machine,
            version=version,
            variants=tuple(variants),
            product=_product(found),
            built=schema.to_data(about),
            slot=payload,
            artifact_name=artifact.name,
            layout=layout,
            files={each.name: releases.digest(each) for each in sorted(work.iterdir())},
        )
        release.write()
        releases.load(work)  # what is wrong with it is told now
        if output.exists():
            output.rmdir()
        shutil.move(work, output)
    return releases.load(output)


def _product(found: Profile) -> Product:
    return Product(
        client=found.client,
        bootloader=found.boot_selection.reader,
        compatible=found.compatible,
        promises=found.promises,
        slots=found.slots,
        device=found.device,
        selection=found.boot_selection,
        signs={name: bad.console for name, bad in found.variants.items()},
    )


def _layout(found: Profile, table: Mapping[int, Partition], product: Path) -> dict[str, Region]:
    """Where slots, data and boot selection are; all problems at once."""
    layout: dict[str, Region] = {}
    problems = []
    for name, place in found.disk.items():
        if place.bytes:
            layout[name] = Region(*place.bytes)
            continue
        fits = [
            each.region
            for each in table.values()
            if place.partition in (each.number, each.name or None)
        ]
        if len(fits) == 1:
            start = 0 if place.table else fits[0].offset
            layout[name] = Region(start, sum(fits[0]) - start)
            continue
        there = ", ".join(f"{each.number} {each.name}".strip() for each in table.values())
        problems.append(
            f"disk.{name}: {len(fits) or 'no'} partitions are called {place.partition!r}:"
            f" the image has {there}"
        )
    if not problems:
        problems = _overlaps(layout)
    if not problems and layout["slot-A"].length != layout["slot-B"].length:
        problems.append("disk: slot-A and slot-B are not equally large")
    if problems:
        raise ConfigurationError.of(files.shown(product), problems)
    layout["boot-selection-1"] = first = layout["boot-selection"]
    if second := layout.get(SECOND):  # the region spans both
        start = min(first.offset, second.offset)
        layout["boot-selection"] = Region(start, max(sum(first), sum(second)) - start)
    return layout


def _overlaps(layout: Mapping[str, Region]) -> list[str]:
    """Nothing may be in two of them."""
    ordered = sorted(layout.items(), key=lambda each: each[1])
    return [
        f"disk: {one} and {other} overlap"
        for (one, region), (other, next_one) in itertools.pairwise(ordered)
        if sum(region) > next_one.offset
    ]


def _take_slot(image: Path, offset: int, payload: Digest, slot: Path, artifact: Path) -> None:
    """Write the bytes that slot A begins with; ConfigurationError unless the artifact installs
    just these."""
    with files.opened(image) as source, slot.open("wb") as target:
        source.seek(offset)
        sizes = (min(_PIECE, payload.size - at) for at in range(0, payload.size, _PIECE))
        write_sparse(target, map(source.read, sizes))
    if releases.digest(slot) != payload:
        raise ConfigurationError(
            f"{files.shown(image)}: slot A does not hold what {artifact.name} installs",
            hint="image and artifact must be of one build; slot A is what a factory flashes",
        )
