"""Where a build says that the copies of U-Boot's environment are: fw_env.config.

The format is fw_printenv's own (u-boot/tools/env/fw_env.config): device, byte offset, size, the
numbers as strtoull() reads them. meta-mender deploys `fw_env.config.default`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import files
from harness.errors import ConfigurationError
from harness.product.layout import Region

NAMES = ("fw_env.config.default", "fw_env.config")
_LIMIT = 4096  # bytes
_HINT = "such a product needs disk.boot-selection in product.yaml"


def copies(names: Mapping[str, Path]) -> tuple[Region, ...]:
    """The copies in their order; nothing where none of the files is there. `names`: what is in the
    folder. Raises ConfigurationError for places that are not in raw sectors of one disk."""
    found = {path: _read(path) for name in NAMES if (path := names.get(name))}
    if len(set(found.values())) > 1:
        one, other = found
        raise ConfigurationError(
            f"{files.shown(one)}: says other places than {other.name}",
            hint="remove the one that is not on the device",
        )
    return next(iter(found.values()), ())


def _read(path: Path) -> tuple[Region, ...]:
    lines = [line.split() for line in files.text(path, limit=_LIMIT).splitlines()]
    words = [line for line in lines if line and not line[0].startswith("#")]
    if not 1 <= len(words) <= 2 or any(len(line) < 3 for line in words):
        raise ConfigurationError(f"{files.shown(path)}: must name one or two places")
    disk = _disk(path, [line[0] for line in words])
    found = []
    for line in words:
        offset, size = (_number(each) for each in line[1:3])
        if offset is None or size is None:
            told = files.shown(" ".join(line[1:3]))
            raise ConfigurationError(
                f"{files.shown(path)}: '{told}' is no offset and size on {disk}", hint=_HINT
            )
        found.append(Region(offset, size))
    return tuple(found)


def _disk(path: Path, devices: Sequence[str]) -> str:
    """The one device that all copies are on: the disk, not a file, a partition or flash memory."""
    whole = r"/dev/(mmcblk\d+|[hsv]d[a-z]|nvme\d+n\d+|disk/\S+)"
    for each in devices:
        if each != devices[0] or not re.fullmatch(whole, each):
            raise ConfigurationError(
                f"{files.shown(path)}: {files.shown(each)} is not the disk that the image is for",
                hint=_HINT,
            )
    return devices[0]


def _number(text: str) -> int | None:
    """As C has it: 0x is hexadecimal, 0 octal. What is counted from the disk's end is none here."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", text):
        return int(text, 16)
    if re.fullmatch(r"0[0-7]{1,20}", text):
        return int(text, 8)
    return int(text) if re.fullmatch(r"0|[1-9][0-9]{0,18}", text) else None
