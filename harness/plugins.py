"""Parts that a product can add without a fork, by entry point
(https://packaging.python.org/en/latest/specifications/entry-points/); ours are declared alike."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb
from typing import Any, ClassVar

from pydantic import ConfigDict
from typing_extensions import get_protocol_members

from harness import schema
from harness.errors import ConfigurationError
from harness.plain import one_line

CLIENTS = "harness.clients"  # name of an update client -> class, made of a board
BUILDERS = "harness.builders"  # name of a builder -> harness.builders.builder.Builder
ARTIFACTS = "harness.artifacts"  # name of an update client -> how its artifacts are made
BOOTLOADERS = "harness.bootloaders"  # name -> what it puts on a disk
SELECTIONS = "harness.selections"  # name of a bootloader -> how the medium holds its boot selection

_US = __name__.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedPart:
    """A part as evidence tells it: the name of a group without `harness.`, its own, where it is
    (`module:object`), which distribution has it, and a digest of its code (`origin`)."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    group: str
    name: str
    value: str
    distribution: str
    version: str
    sha256: str = ""

    @property
    def foreign(self) -> bool:
        """Whether it is somebody else's code."""
        return _package(self.value) != _US

    @property
    def of(self) -> str:
        """What it is of: `acme-ota 1.2`."""
        return f"{self.distribution} {self.version}"

    def __str__(self) -> str:
        return f"{self.group} {self.name} of {self.of}"


@cache
def names(group: str) -> tuple[str, ...]:
    """Sorted names of all parts of a group."""
    return tuple(sorted(_found(group)))


def load(group: str, name: str, *, kind: type, key: str) -> Any:
    """The part called `name`, which has all that the Protocol `kind` asks for. `key` is what names
    it in a recipe or release. Raises ConfigurationError: none, two, or none that can be used."""
    points = _found(group).get(name, ())
    if len(points) != 1:
        given = ", ".join(sorted(str(each.dist.name) for each in points if each.dist))
        raise ConfigurationError(
            f"{key}: {given} each have a '{name}'" if points else f"{key}: there is no '{name}'",
            hint=f"entry points of {group}: {', '.join(names(group)) or 'none'}",
        )
    found = _loaded(points[0])
    if lacking := sorted(each for each in get_protocol_members(kind) if not hasattr(found, each)):
        raise _unusable(points[0], f"has no {', '.join(lacking)}")
    return found


def at_fault(error: BaseException) -> ConfigurationError | None:
    """Whose part raised this, when it was one and not the harness: of the frames that are either's
    the innermost one counts, for a part may have handed nonsense to a library."""
    theirs = {_package(each.value): each for each in _theirs()}
    frames = [each.f_globals.get("__name__", "") for each, _ in walk_tb(error.__traceback__)]
    packages = [name.partition(".")[0] for name in frames]
    point = theirs.get(next((each for each in reversed(packages) if each in {_US, *theirs}), _US))
    return None if point is None else _unusable(point, one_line(f"{type(error).__name__}: {error}"))


def origin(group: str, name: str) -> list[str]:
    """Where a part comes from: what provides it, of which version, and a digest of its code."""
    told = []
    for part in parts(group, name):
        told += [part.value, part.of, *filter(None, [part.sha256])]
    return told


def parts(group: str, name: str) -> list[UsedPart]:
    """The parts of that name, of which only one can be used. The code of ours is its module, the
    harness has a commit for the rest; of somebody else's it is all of the package that it is in."""
    return [
        UsedPart(
            group=group.removeprefix(f"{_US}."),
            name=name,
            value=point.value,
            distribution=point.dist.name if point.dist else "",
            version=point.dist.version if point.dist else "",
            sha256=_digest(point),
        )
        for point in _found(group).get(name, ())
    ]


def _digest(point: EntryPoint) -> str:
    """SHA-256 of the code of a part; empty where there is none to be found."""
    if _package(point.value) == _US:
        source = find_spec(point.module)
        file = Path(source.origin) if source and source.origin else None
        return hashlib.sha256(file.read_bytes()).hexdigest() if file and file.is_file() else ""
    found = hashlib.sha256()
    for name, file in sorted(_code(_package(point.value))):
        found.update(f"{name}\n".encode(errors="surrogateescape"))
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _code(package: str) -> Iterator[tuple[str, Path]]:
    """All files of a package, or the one of a module, but for what Python has compiled."""
    source = find_spec(package)
    folders = [Path(each) for each in (source and source.submodule_search_locations) or ()]
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file() and file.suffix != ".pyc":
                yield str(file.relative_to(folder)), file
    if source and source.origin and not folders and Path(source.origin).is_file():
        yield "", Path(source.origin)


def _package(value: str) -> str:
    """The outermost package of a reference to a module or to what is in it."""
    return value.partition(":")[0].partition(".")[0].strip()


def _theirs() -> list[EntryPoint]:
    """Parts of others."""
    groups = (CLIENTS, BUILDERS, ARTIFACTS, BOOTLOADERS, SELECTIONS)
    points = [point for group in groups for name in names(group) for point in _found(group)[name]]
    return [each for each in points if _package(each.value) != _US]


@cache
def _found(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    try:
        points = entry_points(group=group)
    except Exception as error:  # of any package that is installed
        raise ConfigurationError(
            one_line(f"entry points of {group} cannot be read: {type(error).__name__}: {error}"),
            hint="a package in this Python is damaged: install it again",
        ) from error
    return {name: tuple(each for each in points if each.name == name) for name in points.names}


@cache
def _loaded(point: EntryPoint) -> Any:
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # somebody else's code
        told = one_line(f"{type(error).__name__}: {error}")
        raise _unusable(point, f"cannot be loaded: {told}") from error


def _unusable(point: EntryPoint, why: str) -> ConfigurationError:
    return ConfigurationError(f"entry point {point.group} {point.name} ({point.value}): {why}")
