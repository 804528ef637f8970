"""What lies in a recipe's folders: files, folders and symbolic links, and nothing else.

A link belongs to the image: it is never followed, or what it leads to on this host would end in
every device. Nothing is left out in silence, and nothing is waited for (a FIFO).
"""

import os
import stat
from pathlib import Path

from harness import files
from harness.errors import ConfigurationError

_LARGEST = 1 << 30  # bytes of one file


def entries(folder: Path) -> list[tuple[str, Path]]:
    """Relative name and path of all that is below a folder, folders before their content.

    Raises ConfigurationError for what is neither file, folder nor symbolic link, or closed to us.
    """
    found = []
    left = [folder]
    while left:
        with files.told(place := left.pop()), os.scandir(place) as here:
            for entry in here:
                path = Path(entry.path)
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    left.append(path)
                elif not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
                    raise ConfigurationError(
                        f"{files.shown(path)}: neither file, folder nor symbolic link",
                        hint="an image is made of these",
                    )
                found.append((path.relative_to(folder).as_posix(), path))
    return sorted(found, key=lambda entry: entry[1])


def content(path: Path) -> bytes:
    """The bytes of a file of an overlay. Raises ConfigurationError."""
    return files.read(path, limit=_LARGEST)


def executable(path: Path) -> bool:
    """Whether a file of an overlay is, in the image."""
    return bool(path.lstat().st_mode & 0o100)


def contents(folder: Path, *, where: str) -> dict[str, bytes]:
    """Relative name and bytes of all files below a folder, for a place that has no links.

    Raises ConfigurationError for a symbolic link; `where` says what cannot hold one.
    """
    found = {}
    for name, path in entries(folder):
        if path.is_symlink():
            raise ConfigurationError(
                f"{files.shown(path)}: a symbolic link, which {where} cannot hold",
                hint="put the file itself there",
            )
        if path.is_file():
            found[name] = content(path)
    return found


def text(path: Path) -> str:
    """The text of a file that a recipe's folder may have, empty when it has none.

    Raises ConfigurationError, also for a symbolic link.
    """
    if path.is_symlink():
        raise ConfigurationError(f"{files.shown(path)}: a symbolic link, not a file")
    return files.text(path, limit=_LARGEST) if path.exists() else ""
