"""A disk image and an update artifact that others built become a release.

What is read of an image: its partition table, and slot A, which must begin with the very bytes that
the artifact installs. So slots are known by content, whoever built them.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from harness import files, process, project, schema
from harness import version as versions
from harness.artifacts import opener
from harness.builders.debian.tools import copy
from harness.builders.finished import images as disks
from harness.builders.finished.built import Adopted
from harness.builders.finished.images import Images
from harness.errors import ConfigurationError
from harness.fields import FILE_NAME
from harness.log import step
from harness.medium.files import write_sparse
from harness.product import partitions, profile, trees
from harness.product import release as releases
from harness.product.layout import SECTOR, Region
from harness.product.product import Product
from harness.product.profile import ContentCheck, Profile
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
    about = Adopted(
        profile=project.told(product),
        profile_sha256=releases.digest(product).sha256,
        image=project.told(image),
        variants=folders_of(found),
    )
    return assemble(
        Images(disk=image, artifact=artifact),
        product=product,
        version=version,
        variants=variants,
        output=output,
        built=schema.to_data(about),
    )


def folders_of(found: Profile) -> dict[str, str]:
    """Where a profile says that releases of its bad versions are."""
    return {name: bad.release for name, bad in found.variants.items()}


def assemble(
    images: Images,
    *,
    product: Path,
    version: str,
    variants: Sequence[str],
    output: Path,
    built: Mapping[str, JsonValue],
) -> Release:
    """The release of images of one build, in `output`; errors as of `adopt`."""
    found = profile.load(product)
    if told := versions.problem(version):
        raise ConfigurationError(told, hint="it must be possible to put all versions in order")
    _require_usable(images)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigurationError(
            f"{files.shown(output)}: exists and is not empty", hint="name a new folder"
        )
    layout = disks.layout(found, images, partitions.read(images.disk), product)
    _require_fits(images.slot, layout["slot-A"])
    payload = _payload(images, found, layout["slot-A"])
    files.make_folder(output.parent)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=output.parent) as name:
        work = Path(name) / "release"
        work.mkdir()
        with step("read slot A", image=str(images.disk)):
            _take_slot(images, layout["slot-A"].offset, payload, work / "slot.img")
            _require_comparable(work / "slot.img", found, product)
        with step("copy"):
            _copy(images, work)
        release = Release(
            folder=work,
            machine=found.machine,
            version=version,
            variants=tuple(variants),
            product=_product(found),
            built=dict(built),
            slot=payload,
            artifact_name=images.artifact.name,
            layout=layout,
            files={each.name: releases.digest(each) for each in sorted(work.iterdir())},
        )
        release.write()
        releases.load(work)  # what is wrong with it is told now
        if output.exists():
            output.rmdir()
        shutil.move(work, output)
    return releases.load(output)


def _require_usable(images: Images) -> None:
    """ConfigurationError for files that no release can be made of."""
    name = images.artifact.name
    taken = sorted({*releases.FILES, releases.FILE, *(images.kept or {})})
    with files.opened(images.artifact):
        if not re.fullmatch(FILE_NAME, name) or name in taken:
            raise ConfigurationError(
                f"{files.shown(images.artifact)}: no name of an artifact in a release",
                hint=f"rename it: {FILE_NAME}, and not {', '.join(taken)}",
            )
    with files.opened(images.disk) as stream:
        if os.fstat(stream.fileno()).st_size % SECTOR:
            raise ConfigurationError(
                f"{files.shown(images.disk)}: not a whole number of sectors of {SECTOR} bytes",
                hint="it was cut off, or is no disk image",
            )


def _require_fits(slot: Path | None, region: Region) -> None:
    if slot and (size := slot.stat().st_size) > region.length:
        raise ConfigurationError(
            f"{files.shown(slot)}: {size:,} bytes, and slot A has {region.length:,}",
            hint="all of them must be of one build",
        )


def _payload(images: Images, found: Profile, slot: Region) -> Digest:
    """What the artifact installs; it must be for the profile's product."""
    read = opener(found.client)
    with step("read artifact", artifact=str(images.artifact)):
        meant = read.meant_for(images.artifact)
        if meant and found.compatible not in meant:
            raise ConfigurationError(
                f"{files.shown(images.artifact)}: is for {', '.join(meant)}",
                hint=f"product.yaml says: compatible: {found.compatible}",
            )
        payload = read.payload(images.artifact, limit=slot.length)
        if not payload.size:
            raise ConfigurationError(f"{files.shown(images.artifact)}: its slot image is empty")
        return payload


def _product(found: Profile) -> Product:
    return Product(
        client=found.client,
        bootloader=found.boot_selection.reader,
        compatible=found.compatible,
        promises=found.promises,
        slots=found.slots,
        device=found.device,
        selection=found.boot_selection if found.device else None,
        signs={name: bad.console for name, bad in found.variants.items() if bad.console},
    )


def _take_slot(images: Images, offset: int, payload: Digest, slot: Path) -> None:
    """Write the bytes that slot A begins with; ConfigurationError unless they are what the artifact
    installs, and what the build made both of."""
    made = releases.digest(images.slot) if images.slot else payload
    if made != payload:
        same = _begins_with(images.disk, offset, made)
        there = "slot A of the disk image does" if same else "neither does slot A of the disk image"
        raise ConfigurationError(
            f"{files.shown(images.artifact)}: does not install {images.slot and images.slot.name}",
            details=f"({there} hold it)" if same else f"({there})",
            hint="all of them must be of one build",
        )
    with slot.open("wb") as target:
        write_sparse(target, _pieces(images.disk, offset, payload.size))
    if releases.digest(slot) != payload:
        raise ConfigurationError(
            f"{files.shown(images.disk)}: slot A does not hold"
            f" what {images.artifact.name} installs",
            hint="image and artifact must be of one build; slot A is what a factory flashes",
        )


def _require_comparable(slot: Path, found: Profile, product: Path) -> None:
    """What is said of a slot's content must be something by which one can be told from another."""
    if found.slots.content is not ContentCheck.TREE:
        return
    tree = trees.read(slot)
    if tree is None:
        problem = "slots.content: tree: the slot image is no ext4 that e2fsck finds sound"
    elif not trees.compared(tree, found.slots.changes):
        problem = "slots.changes: names every file there is: nothing is left to compare"
    else:
        return
    raise ConfigurationError.of(files.shown(product), [problem], hint="docs/adopt.md")


def _pieces(image: Path, offset: int, size: int) -> Iterator[bytes]:
    with files.opened(image) as source:
        source.seek(offset)
        for at in range(0, size, _PIECE):
            yield source.read(min(_PIECE, size - at))


def _begins_with(image: Path, offset: int, content: Digest) -> bool:
    found = hashlib.sha256()
    for piece in _pieces(image, offset, content.size):
        found.update(piece)
    return found.hexdigest() == content.sha256


def _copy(images: Images, work: Path) -> None:
    disk = work / "disk.img"
    if images.block_map:
        # What a device is flashed with: the map must give the image, to the byte.
        argv: list[str | Path] = [
            "bmaptool",
            "--quiet",
            "copy",
            "--bmap",
            images.block_map,
            images.disk,
            disk,
        ]
        done = process.run(argv, timeout=600, check=False)
        if done.returncode or releases.digest(disk) != releases.digest(images.disk):
            raise ConfigurationError(
                f"{files.shown(images.block_map)}: is not of {images.disk.name}",
                details="".join(done.stderr.strip().splitlines()[-1:]),
                hint="build both again, or remove it",
            )
        copy(images.block_map, work / "disk.img.bmap")
    else:
        copy(images.disk, disk)
    copy(images.artifact, work / images.artifact.name)
    for name, path in (images.kept or {}).items():
        copy(path, work / name)
