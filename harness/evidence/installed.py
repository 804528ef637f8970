"""Whether an installed harness is the one that was built: its files against the wheel's RECORD
(https://packaging.python.org/en/latest/specifications/recording-installed-packages/)."""

import base64
import hashlib
import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from harness import files, schema
from harness.errors import ConfigurationError

BUILT = "built.json"  # in the package: which commit the wheel was built from; setup.py writes it


def commit(package: Path) -> tuple[str | None, bool | None]:
    """The commit that a wheel was built from, and whether with changes of its own."""
    try:
        told = schema.from_json(
            dict[str, JsonValue], files.read(package / BUILT), what=package / BUILT
        )
    except ConfigurationError:
        return None, None
    found, dirty = told.get("commit"), told.get("dirty")
    return (
        found if isinstance(found, str) else None,
        dirty if isinstance(dirty, bool) else None,
    )


def changed(package: Path) -> tuple[str, ...] | None:
    """The files of an installed package that are not as they were installed, and those that are
    more, by name; None when nobody can say. What Python has compiled into `__pycache__` is not
    looked at."""
    try:
        recorded = importlib.metadata.files(package.name) or []
    except (importlib.metadata.PackageNotFoundError, ValueError):  # a RECORD that is no text
        return None
    sums = {
        PurePosixPath(each): each.hash.value if each.hash else ""
        for each in recorded
        if each.parts[0] == package.name and "__pycache__" not in each.parts
    }
    init = PurePosixPath(package.name, "__init__.py")
    here = [each.locate() for each in recorded if PurePosixPath(each) == init]
    if not here or Path(str(here[0])).resolve() != (package / "__init__.py").resolve():
        return None  # this one was not installed, or somewhere else
    found = set(_below(package))
    return tuple(
        sorted(
            str(name)
            for name in found | sums.keys()
            if name not in sums or name not in found or _sum(package.parent / name) != sums[name]
        )
    )


def _below(package: Path) -> Iterator[PurePosixPath]:
    """All files of a package, and links to folders: none was installed as one."""
    for folder, folders, names in os.walk(package):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in (*names, *links):
            yield PurePosixPath((Path(folder) / name).relative_to(package.parent))


def _sum(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError:
        return "cannot be read"
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
