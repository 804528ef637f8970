"""How pytest is called: which scenarios, on which boards, and with nothing of whoever calls."""

import contextlib
import os
import tempfile
from collections.abc import Collection as Ids
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import project
from harness.scenarios.naming import SUITE

SETTINGS = Path(__file__).parent / "pytest.ini"
# In the order of their imports: pytest loads no plugin that is imported already.
PLUGINS = ("harness.scenarios.tries", "harness.scenarios.plugin")
# By which whoever calls could leave scenarios out, or add code to them.
_VARIABLES = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
# Plugins that are installed beside the harness, and modules that happen to lie in the working
# folder, have no part in scenarios.
_ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONSAFEPATH": "1"}
_XDIST = "xdist.plugin"
TRIES = 2  # of a scenario that ends in trouble of the lab, where nobody says how many
# A worker has one board, the losses of a phase share its instant. One that dies is not replaced: a
# new one would have no board, and pytest would wait for ever.
WORKERS = ("--dist", "loadgroup", "--max-worker-restart=0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to run on which boards."""

    release: Path
    from_release: Path
    boards: tuple[str, ...]
    lab: Path
    tier: str = "all"  # ci or all
    keyword: str = ""  # pytest's -k
    scenarios: tuple[str, ...] = ()  # exact ids instead of a tier
    tries: int = TRIES  # of a scenario that ends in trouble of the lab


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """For the length of the block nothing of whoever calls, of other packages or of what Python has
    once compiled decides what pytest's processes run."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="compiled-") as folder:
        for name in _VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(_ALONE, PYTHONPYCACHEPREFIX=folder)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def filters(selection: Selection, of: Ids[str] | None = None) -> list[str]:
    """What is asked for; `of`: as far as it is among these scenarios."""
    named = [name for name in selection.scenarios if of is None or name in of]
    words = [word for name in named for word in ("--scenario", name)]
    words = words or ["--tier", selection.tier]
    return [*words, "-k", selection.keyword] if selection.keyword else words


def places() -> list[str]:
    """Where scenarios are: the harness's own, and those of the product, if it has any. Relative to
    the working folder: pytest reads a `[` or `::` in an argument as more than a path, and a `-` at
    its beginning as none."""
    product = project.find()
    own = [product.scenarios] if product and product.scenarios else []
    return [f"./{os.path.relpath(place)}" for place in (SUITE, *own)]


def settings(selection: Selection) -> list[str]:
    """How pytest runs, and what machine and boards have."""
    product = project.find()
    words = ["-c", str(SETTINGS), "--rootdir", str(product.root if product else Path.cwd())]
    words += ["--noconftest"]  # one that lies anywhere above could decide verdicts
    words += [word for name in (_XDIST, *PLUGINS) for word in ("-p", name)]
    words += ["--release", str(selection.release)]
    words += ["--lab", str(selection.lab.resolve())]
    return words + [word for board in selection.boards for word in ("--board", board)]


def arguments(selection: Selection, folder: Path, place: str, scenarios: Ids[str]) -> list[str]:
    """Run what `place` has of these scenarios."""
    own = "" if Path(place).resolve() == SUITE.resolve() else "-own"
    arguments = [*settings(selection), place, *filters(selection, scenarios)]
    arguments += ["--run-folder", str(folder), "--tries", str(selection.tries)]
    arguments += ["--from-release", str(selection.from_release)]
    arguments += ["-n", str(len(selection.boards)), *WORKERS]
    arguments += ["-p", "no:cacheprovider"]
    arguments += ["-v", "--tb=short", "--no-header", "--junitxml", str(folder / f"junit{own}.xml")]
    return arguments
