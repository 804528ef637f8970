"""The product folder: where a team keeps recipes, labs and scenarios. `harness.toml` marks it.

The nearest one above the working directory counts; where there is none, and the harness runs from
its own checkout, that is one.
"""

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from harness import files, schema
from harness.errors import ConfigurationError

FILE = "harness.toml"
_LIMIT = 64 << 10  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFile:
    """`harness.toml`; paths are relative to its folder."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    lab: str = ""
    scenarios: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A product folder. `lab` is the lab file that commands use where none is named, `scenarios`
    the folder of the product's own scenarios; None: it has none."""

    root: Path
    lab: Path | None
    scenarios: Path | None

    def parts(self, lab: Path | None = None) -> set[str]:
        """Its files and folders in which nothing may lie that is in no commit, relative to it:
        recipes, scenarios, its lab file, the `lab` that is used, and the folders of both."""
        named = {self.root / "recipes", self.scenarios or self.root}
        for each in (self.lab, lab):
            found = each.resolve() if each else self.root
            named |= {found, found.parent} if found.is_relative_to(self.root) else set()
        inside = (each for each in named if self.root in each.parents and each.exists())
        return {str(each.relative_to(self.root)) for each in inside}

    @property
    def command(self) -> tuple[str, ...]:
        """How the harness is called there: the checkout sets itself up first."""
        return ("./run", "harness") if self.root == checkout() else ("harness",)


def checkout() -> Path | None:
    """The checkout that this harness runs from; None when it was installed."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "run").is_file() and (root / FILE).is_file() else None


def find() -> Project | None:
    """The product folder that this process works in. Raises ConfigurationError for a harness.toml
    that is wrong."""
    with files.told("the working folder"):
        here = Path.cwd()
    above = [folder for folder in (here, *here.parents) if os.path.lexists(folder / FILE)]
    root = above[0].resolve() if above else checkout()
    return _load(root) if root else None


def default_lab() -> Path:
    """The lab file where none is named; ConfigurationError when nothing says which."""
    found = find()
    if found is None or found.lab is None:
        where = f"{files.shown(found.root / FILE)} has no `lab`" if found else f"no {FILE} here"
        raise ConfigurationError(
            f"--lab: which lab file? {where}",
            hint="name one, or begin a product folder with `harness init`",
        )
    return found.lab


def told(path: Path) -> str:
    """A path as a release and evidence name it: inside of the product folder the same on every
    machine."""
    resolved, found = path.resolve(), find()
    if found and resolved.is_relative_to(found.root):
        return resolved.relative_to(found.root).as_posix()
    return str(resolved)


def named(told_path: str) -> Path:
    """Where a path that `told` gave is on this machine."""
    found = find()
    return found.root / told_path if found else Path(told_path)


def command() -> tuple[str, ...]:
    """How whoever is here calls the harness."""
    found = find()
    return found.command if found else ("harness",)


def _load(root: Path) -> Project:
    file = root / FILE
    text = files.text(file, limit=_LIMIT)
    try:
        data = json.dumps(tomllib.loads(text))
    except (ValueError, TypeError, RecursionError) as error:  # TypeError: a date
        raise ConfigurationError(
            f"{files.shown(file)}: not usable TOML", details=str(error)
        ) from error
    keys = schema.from_json(ProjectFile, data, what=file)
    problems = []
    if keys.lab and not files.is_file(root / keys.lab):
        problems.append(f"lab: {files.shown(keys.lab)} is no file")
    if keys.scenarios and not files.is_folder(root / keys.scenarios):
        problems.append(f"scenarios: {files.shown(keys.scenarios)} is no folder")
    elif keys.scenarios and root not in (root / keys.scenarios).resolve().parents:
        problems.append(f"scenarios: {files.shown(keys.scenarios)} is no folder below this one")
    if problems:
        raise ConfigurationError.of(files.shown(file), problems)
    return Project(
        root=root,
        lab=root / keys.lab if keys.lab else None,
        scenarios=(root / keys.scenarios).resolve() if keys.scenarios else None,
    )
