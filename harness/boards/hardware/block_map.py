"""The block map of a disk image (bmaptool's format): what of it holds content, and its digests.

The rest need not be written, but a card that was in use before has something there: whoever
flashes it makes that zero, as it is in the image, or one device would begin with another's data.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from harness import files
from harness.errors import ConfigurationError

_LIMIT = 64 << 20  # bytes of a map
Ranges = list[tuple[int, int]]  # each (byte offset, length), in order


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockMap:
    """Of one image of `size` bytes: what is `mapped`, and the `holes` between."""

    size: int
    mapped: Ranges
    holes: Ranges

    @classmethod
    def of(cls, image: Path) -> "BlockMap":
        """The map beside an image; without one all of it is mapped. ConfigurationError for a map
        that is of another image."""
        size = image.stat().st_size
        file = image.with_name(f"{image.name}.bmap")
        if not file.exists():
            return cls(size=size, mapped=[(0, size)], holes=[])
        text = files.text(file, limit=_LIMIT)
        try:
            told, mapped = _parsed(text)
        except (ET.ParseError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"{file}: is no block map: {error}") from error
        if told != size:
            raise ConfigurationError(
                f"{file}: is of an image of {told} bytes, {image.name} has {size}",
                hint="build or adopt the release again",
            )
        return cls(size=size, mapped=mapped, holes=_between(mapped, size))

    @property
    def bytes(self) -> int:
        """How much is mapped."""
        return sum(length for _, length in self.mapped)


def _parsed(text: str) -> tuple[int, Ranges]:
    root = ET.fromstring(text)  # noqa: S314 - of a release that was verified
    block, size = (int(_field(root, name)) for name in ("BlockSize", "ImageSize"))
    mapped = []
    for each in root.iter("Range"):
        first, _, last = (each.text or "").strip().partition("-")
        start, end = int(first) * block, min((int(last or first) + 1) * block, size)
        mapped.append((start, end - start))
    return size, mapped


def _field(root: ET.Element, name: str) -> str:
    return (root.findtext(name) or "").strip()


def _between(mapped: Ranges, size: int) -> Ranges:
    holes, at = [], 0
    for start, length in [*mapped, (size, 0)]:
        if start > at:
            holes.append((at, start - at))
        at = start + length
    return holes
