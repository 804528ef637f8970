"""The slot image: one squashfs with root file system, kernel and initramfs of a version.

Reproducible: members sorted, owned as the tar says, no time but SOURCE_DATE_EPOCH
(https://reproducible-builds.org/specs/source-date-epoch/).
"""

from pathlib import Path

from harness import process
from harness.errors import BuildError

# Of LZO's levels the one that still takes two seconds; the default takes six times that for 7 %.
_OPTIONS = {"lzo": ("-Xcompression-level", "3")}


def make(tree: Path, output: Path, *, compression: str, size: int, epoch: int) -> Path:
    """Write the squashfs of a root file system's tar; at most `size` bytes, else BuildError."""
    process.run(
        [
            *("mksquashfs", "-", output, "-tar", "-noappend", "-no-progress", "-quiet"),
            *(
                "-comp",
                compression,
                *_OPTIONS.get(compression, ()),
            ),
        ],
        timeout=300,
        error=BuildError,
        env={"SOURCE_DATE_EPOCH": str(epoch)},
        stdin=tree,
    )
    made = output.stat().st_size
    if made > size:
        raise BuildError(
            f"disk.slot_size: the slot image has {made} bytes, the slot only {size}",
            hint="make the slot larger, or prune more of the base",
        )
    return output
