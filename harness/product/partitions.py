"""What a disk image's own partition table says, read by util-linux' partx (libblkid), MBR and GPT.

partx(8): sectors are of 512 bytes; logical partitions of an MBR are numbered from 5.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import files, process
from harness.errors import ConfigurationError
from harness.product.layout import SECTOR, Region

_SECONDS = 30.0
_WANTED = ("NR", "START", "SECTORS", "NAME", "UUID", "TYPE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition; `name` is its GPT label, empty in an MBR."""

    number: int
    region: Region
    name: str
    uuid: str
    type: str


def read(image: Path) -> Mapping[int, Partition]:
    """The partitions of a disk image by their numbers; ConfigurationError when there is no table,
    or it names sectors that the image has not got."""
    with files.opened(image):  # or one line that says why not
        pass
    argv: list[str | Path] = ["partx", "--pairs", "--output", ",".join(_WANTED), image]
    done = process.run(argv, timeout=_SECONDS, check=False, env={"LC_ALL": "C"})
    if done.returncode != 0:
        raise ConfigurationError(
            f"{files.shown(image)}: has no partition table that partx can read",
            details=done.stderr.strip(),
            hint="a disk image is the whole disk, as it is flashed: MBR or GPT",
        )
    found = [_partition(line) for line in done.stdout.splitlines() if line]
    size = image.stat().st_size
    if beyond := [each.number for each in found if sum(each.region) > size]:
        raise ConfigurationError(
            f"{files.shown(image)}: partitions {beyond} end behind its {size} bytes",
            hint="it was cut off, or made without its empty end: then `truncate` it to its size",
        )
    return {each.number: each for each in found}


def _partition(line: str) -> Partition:
    told = dict(re.findall(r'(\w+)="([^"]*)"', line))
    return Partition(
        number=int(told["NR"]),
        region=Region(int(told["START"]) * SECTOR, int(told["SECTORS"]) * SECTOR),
        name=told["NAME"],
        uuid=told["UUID"],
        type=told["TYPE"],
    )
