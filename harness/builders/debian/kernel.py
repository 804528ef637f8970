"""Kernel modules of an image: only those a recipe names and what they depend on."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness import process
from harness.builders.debian.tree import Tree
from harness.errors import BuildError

_MODULES = "/usr/lib/modules"


class Modules:
    """The modules of the one kernel in `tree`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        releases = {
            path.split("/")[4]
            for path in tree.paths()
            if path.startswith(f"{_MODULES}/") and path.count("/") > 4
        }
        if len(releases) != 1:
            raise BuildError(
                f"the image needs exactly one kernel, found {sorted(releases) or 'none'}",
                hint="base.packages: name one linux-image package",
            )
        self.release = releases.pop()
        self.folder = f"{_MODULES}/{self.release}"
        self._files = [
            p for p in tree.paths() if p.startswith(f"{self.folder}/kernel/") and ".ko" in p
        ]
        self._by_name = {_name(path): path for path in self._files}
        self._needs = self._dependencies()

    def closure(self, names: Iterable[str]) -> list[str]:
        """Paths of the modules called `names` with all they depend on, dependencies first.

        A name that is built into the kernel is left out; an unknown one is a BuildError.
        """
        builtin = self._builtin()
        ordered: list[str] = []
        for name in names:
            wanted = name.replace("-", "_")
            path = self._by_name.get(wanted)
            if path is None and wanted in builtin:
                continue
            if path is None:
                raise BuildError(f"kernel: {self.release} has no module '{name}'")
            self._append(path, ordered)
        return ordered

    def keep(self, names: Iterable[str]) -> None:
        """Remove all other modules from the tree and index what is left (depmod)."""
        kept = set(self.closure(names))
        self._tree.remove(*(path for path in self._files if path not in kept))
        self._tree.prune([f"{self.folder}/modules.*map"])
        self._index(sorted(kept))

    def _append(self, path: str, ordered: list[str]) -> None:
        for need in self._needs.get(path, ()):
            self._append(need, ordered)
        if path not in ordered:
            ordered.append(path)

    def _dependencies(self) -> dict[str, list[str]]:
        needs: dict[str, list[str]] = {}
        if f"{self.folder}/modules.dep" not in self._tree:
            self._index(self._files)
        for line in self._tree.read(f"{self.folder}/modules.dep").decode().splitlines():
            path, _, rest = line.partition(":")
            # depmod lists direct and indirect needs, the deepest last.
            needs[f"{self.folder}/{path}"] = [f"{self.folder}/{n}" for n in reversed(rest.split())]
        return needs

    def _builtin(self) -> set[str]:
        listing = self._tree.read(f"{self.folder}/modules.builtin").decode()
        return {_name(line) for line in listing.splitlines()}

    def _index(self, paths: list[str]) -> None:
        """Run depmod on a copy of the modules and put its indexes into the tree."""
        with tempfile.TemporaryDirectory(prefix="harness-depmod-") as name:
            root = Path(name)
            extra = [
                p
                for p in self._tree.paths()
                if p.startswith(f"{self.folder}/modules.builtin") or p.endswith("/modules.order")
            ]
            for path in [*paths, *(p for p in extra if p.startswith(self.folder))]:
                target = root / path.removeprefix("/usr/").lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._tree.read(path))
            process.run(["depmod", "-b", root, self.release], timeout=120, error=BuildError)
            for made in (root / "lib/modules" / self.release).glob("modules.*"):
                self._tree.file(f"{self.folder}/{made.name}", made.read_bytes())


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")
