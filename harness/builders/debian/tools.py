"""The host's tools that shape an image, by version: they are inputs like any other."""

import contextlib
import fcntl
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from harness import files, process
from harness.errors import BuildError

_ASKED = (
    ("mksquashfs", "-version"),
    ("mke2fs", "-V"),
    ("genimage", "--version"),
    ("grub-mkimage", "--version"),
    ("rauc", "--version"),
    ("mkenvimage", "-V"),
    ("mkfs.vfat", "--help"),
    ("mender-artifact", "--version"),
)


@cache
def versions() -> dict[str, str]:
    """Tool -> the first line it says about itself."""
    found = {}
    for argv in _ASKED:
        done = process.run(argv, timeout=30, error=BuildError, check=False)
        found[argv[0]] = (done.stdout or done.stderr).strip().partition("\n")[0]
    return found


def copy(source: Path, target: Path) -> None:
    """Copy a file, keeping holes, sharing blocks where the file system can."""
    process.run(["cp", "--sparse=always", "--reflink=auto", source, target], timeout=300)


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """One builder at a time for one target; the lock goes with the process."""
    files.make_folder(target.parent)
    name = target.parent / f".{target.name}.lock"
    with contextlib.ExitStack() as stack:
        with files.told(name):
            lock = stack.enter_context(name.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
