"""Whether an installed harness is the one that was built: its files against the wheel's RECORD
(https://packaging.python.org/en/latest/specifications/recording-installed-packages/)."""

import base64
import hashlib
import importlib.metadata
from pathlib import Path

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
    """The files of an installed package that are not as they were installed, and its modules that
    are more, by name; None when nobody can say."""
    try:
        recorded = importlib.metadata.files(package.name) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    sums = {
        Path(str(each.locate())).resolve(): each.hash.value if each.hash else None
        for each in recorded
    }
    if package / "__init__.py" not in sums:
        return None  # this one was not installed, or somewhere else
    more = {path for path in package.rglob("*.py") if path not in sums}
    different = {
        path
        for path, known in sums.items()
        if path.is_relative_to(package) and known is not None and _sum(path) != known
    }
    return tuple(sorted(str(path.relative_to(package.parent)) for path in more | different))


def _sum(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
