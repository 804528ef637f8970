"""What the files of a recording are, by SHA-256 and size: so that none of them is another one.

A file is hashed once by each process, for as long as the file system says that it is the same.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from harness.product import release
from harness.product.release import Digest


def of(folder: Path, names: Iterable[str]) -> dict[str, Digest]:
    """The digests of files in a folder."""
    return {name: of_file(folder / name) for name in sorted(names)}


def of_file(path: Path) -> Digest:
    """The digest of a file; OSError when it cannot be read."""
    found = path.stat()
    return _of(
        path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    )


@lru_cache(maxsize=4096)
def _of(path: Path, _same: tuple[int, ...]) -> Digest:
    return release.digest(path)


def missing(folder: Path, wanted: Mapping[str, Digest]) -> list[str]:
    """Which files of a folder are gone, or have another size: costs nothing."""
    problems = []
    for name, digest in wanted.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif (size := path.stat().st_size) != digest.size:
            problems.append(f"{path} has {size:,} bytes, not {digest.size:,} as recorded")
    return problems


def changed(folder: Path, wanted: Mapping[str, Digest]) -> list[str]:
    """Which files of a folder are not what they were: reads them all."""
    return missing(folder, wanted) or [
        f"{folder / name} has another content than was recorded"
        for name, digest in wanted.items()
        if of_file(folder / name) != digest
    ]
