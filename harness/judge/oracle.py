"""Oracles for the content of a slot: whether it holds a release, read from the medium alone."""

import hashlib
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from harness.boards.capability import MediumRead
from harness.log import emit
from harness.product import trees
from harness.product.layout import Region
from harness.product.profile import ContentCheck
from harness.product.release import Release


def exact(medium: MediumRead, region: Region, release: Release) -> bool:
    """Of a slot that nobody writes while it runs (squashfs, verity): byte for byte what was built.
    What lies behind the image is nobody's."""
    return medium.sha256(region.offset, release.slot.size) == release.slot.sha256


_PIECE = 4 << 20  # bytes
_LOOKS = 3  # a running system writes while its slot is read, piece by piece
_PAUSE = 3.0  # seconds between them
_SHOWN = 20  # paths


def which(medium: MediumRead, region: Region, releases: Mapping[str, Release]) -> str:
    """The name of the release that a slot holds, by its own oracle; empty for none of them."""
    for name, release in releases.items():
        if exact(medium, region, release):
            return name
    trees_ = {
        name: release
        for name, release in releases.items()
        if release.product.slots.content is ContentCheck.TREE
    }
    for look in range(_LOOKS if trees_ else 0):
        if look:
            time.sleep(_PAUSE)
        found = _tree_of(medium, region)
        for name, release in trees_.items():
            if not _differences(found, release):
                return name
    for release in trees_.values():
        different = _differences(found, release)
        shown, count = different[:_SHOWN], len(different)
        emit("slot-differs", version=release.version, paths=shown, count=count)
    return ""


def _differences(found: trees.Tree | None, release: Release) -> list[str]:
    """Of an ext4 slot that is mounted for writing: its journal can be replayed, e2fsck finds it
    sound, and each file is the release's, but for those that its product lets a system change."""
    wanted = _installed(release.slot_image)
    if found is None or wanted is None:
        return ["(not sound)"]
    return trees.differences(found, wanted, allowed=release.product.slots.changes)


@cache
def _installed(image: Path) -> trees.Tree | None:
    """The tree of a slot image, which does not change."""
    return trees.read(image)


def _tree_of(medium: MediumRead, region: Region) -> trees.Tree | None:
    """The tree of a slot on the medium."""
    with tempfile.NamedTemporaryFile(prefix="slot-") as copy:
        for offset in range(region.offset, sum(region), _PIECE):
            piece = medium.read(offset, min(_PIECE, sum(region) - offset))
            if any(piece):
                copy.write(piece)
            else:
                copy.seek(len(piece), 1)
        copy.truncate(region.length)
        copy.flush()
        return _known(Path(copy.name))


_trees: dict[str, trees.Tree | None] = {}


def _known(image: Path) -> trees.Tree | None:
    """The tree of an image; one of the same content is not read again."""
    with image.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest not in _trees:
        _trees[digest] = trees.read(image)
    return _trees[digest]
