"""Oracles for the content of a slot: whether it holds a release, read from the medium alone."""

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from harness.boards.capability import MediumRead
from harness.errors import ConfigurationError
from harness.log import emit
from harness.medium.files import write_sparse
from harness.product import trees
from harness.product.layout import Region
from harness.product.profile import ContentCheck
from harness.product.release import Release

_PIECE = 4 << 20  # bytes
_LOOKS = 3  # a running system writes while its slot is read, piece by piece
_PAUSE = 3.0  # seconds between them
_SHOWN = 20  # paths
_KEPT = 8  # trees: the slot that does not run stays as it is
_trees: dict[str, trees.Tree | None] = {}  # SHA-256 of a slot -> what is in it


def exact(medium: MediumRead, region: Region, release: Release) -> bool:
    """Of a slot that nobody writes while it runs (squashfs, verity): byte for byte what was built.
    What lies behind the image is nobody's."""
    return medium.sha256(region.offset, release.slot.size) == release.slot.sha256


def which(medium: MediumRead, region: Region, releases: Mapping[str, Release]) -> str:
    """The name of the release that a slot holds, by its own oracle; empty for none of them."""
    for name, release in releases.items():
        if exact(medium, region, release):
            return name
    written = {
        name: release
        for name, release in releases.items()
        if release.product.slots.content is ContentCheck.TREE
    }
    for look in range(_LOOKS if written else 0):
        if look:
            time.sleep(_PAUSE)
        found = _tree_of(medium, region)
        same = [name for name, release in written.items() if not _differences(found, release)]
        if len(same) > 1:
            told = " and ".join(releases[name].version for name in same)
            raise ConfigurationError(
                f"slots.changes: a slot is as {told} alike: what differs is all named there",
                hint="name only what a running system changes, and adopt again",
            )
        if same:
            return same[0]
    for release in written.values():
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
    """The tree of a slot on the medium; one of the same content is not read out again."""
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for offset in range(region.offset, sum(region), _PIECE):
            piece = medium.read(offset, min(_PIECE, sum(region) - offset))
            digest.update(piece)
            yield piece

    with tempfile.NamedTemporaryFile(prefix="slot-") as copy:
        write_sparse(copy.file, pieces())
        copy.flush()
        key = digest.hexdigest()
        if key not in _trees:
            if len(_trees) >= _KEPT:
                _trees.clear()
            _trees[key] = trees.repair(Path(copy.name))
        return _trees[key]
