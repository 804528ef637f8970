"""What a booted state is asked, as a digest of the code that asks it.

A proof is the answer to the questions of its day. Whoever lets it stand for a boot of today must
know that today's harness would ask the same, of a board that is made in the same way.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from harness import plugins

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT.name
# A boot: what asks, and what it is asked in. All that these import is found, not listed.
_ASKING = ("crash.exploration.prove", "crash.exploration.workers")
# Not all of it is imported: nbdkit's plugin, a devicetree, what is found by entry point.
_FOLDERS = ("boards", "clients", "artifacts", "builders/debian/artifacts")
_PARTS = (plugins.CLIENTS, plugins.SELECTIONS, plugins.ARTIFACTS)


@cache
def digest() -> str:
    """SHA-256 of the judge, the probe with its server, the clients, what makes a board of a state,
    and all of the harness that any of them stands on; of parts of others, their module. What the
    lab file says of the board is the recording's (`Recording.bench`)."""
    found = hashlib.sha256()
    for path in sorted(_files()):
        found.update(f"{path.relative_to(_ROOT)}\n".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    for group in _PARTS:  # somebody else's among them
        for name in plugins.names(group):
            found.update("\n".join(plugins.origin(group, name)).encode())
    return found.hexdigest()


def _files() -> set[Path]:
    found: set[Path] = set()
    for folder in _FOLDERS:
        there = (path for path in (_ROOT / folder).rglob("*") if path.suffix != ".pyc")
        found.update(path for path in there if path.is_file())
    todo = [path for path in found if path.suffix == ".py"]
    todo += [path for name in _ASKING for path in _modules(f"{_PACKAGE}.{name}")]
    seen: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += [each for name in _imported(path) for each in _modules(name)]
    return found | seen


def _imported(path: Path) -> Iterator[str]:
    """Full names of what a module imports, wherever in the module."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _modules(name: str) -> Iterator[Path]:
    """Files of the harness that run when `name`, a module or something in one, is imported."""
    first, *parts = name.split(".")
    if first != _PACKAGE:
        return
    path = _ROOT
    for part in ["", *parts]:
        path /= part
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                yield file
