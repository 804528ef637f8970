"""Adds to the wheel what is not beside its modules: what `harness init` copies, and its commit."""

import json
import runpy
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithStarter(build_py):
    """Puts the two files into the package; an editable one has the checkout instead."""

    def run(self) -> None:
        """Build as always, then add them."""
        shutil.rmtree(self.build_lib, ignore_errors=True)  # of an earlier build, of other files
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib) / "harness"
        archive = runpy.run_path(str(ROOT / "harness/starter/archive.py"))
        with (package / "starter" / archive["FILE"]).open("wb") as target:
            archive["pack"](ROOT, target)
        (package / "built.json").write_text(json.dumps(_commit()), encoding="utf-8")


def _commit() -> dict[str, str | bool | None]:
    """The commit that is checked out, and whether files differ from it; None outside a checkout."""
    if not (ROOT / ".git").exists():
        return {"commit": None, "dirty": None}
    return {"commit": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain"))}


def _git(*words: str) -> str:
    argv = ["git", "-C", str(ROOT), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


BUILD = ROOT / "build"
BUILD.mkdir(exist_ok=True)
# Beside the package, what setuptools leaves would be taken for the installed harness by whoever
# runs Python here, entry points and all, long after they have changed.
setup(cmdclass={"build_py": BuildWithStarter}, options={"egg_info": {"egg_base": str(BUILD)}})
