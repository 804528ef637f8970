"""Oracles for the content of a slot: whether it holds a release, read from the medium alone."""

from harness.boards.capability import MediumRead
from harness.product.layout import Region
from harness.product.release import Release


def exact(medium: MediumRead, region: Region, release: Release) -> bool:
    """Of a slot that nobody writes while it runs (squashfs, verity): byte for byte what was built.
    What lies behind the image is nobody's."""
    return medium.sha256(region.offset, release.slot.size) == release.slot.sha256
