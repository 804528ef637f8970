"""Adds to the wheel what is not beside its modules: what `harness init` copies, and its commit."""

import json
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))
from harness.evidence import checkout  # noqa: E402 - found only now; of the standard library alone
from harness.starter import archive  # noqa: E402


class BuildWithStarter(build_py):
    """Puts the two files into the package; an editable one has the checkout instead."""

    def run(self) -> None:
        """Build as always, then add them."""
        shutil.rmtree(self.build_lib, ignore_errors=True)  # of an earlier build, of other files
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib) / "harness"
        with (package / "starter" / archive.FILE).open("wb") as target:
            archive.pack(ROOT, target)
        (package / "built.json").write_text(json.dumps(_commit()), encoding="utf-8")


def _commit() -> dict[str, str | bool | None]:
    """The commit that is checked out, and whether files differ from it; None outside a checkout."""
    if not (ROOT / ".git").exists():
        return {"commit": None, "dirty": None}
    changed = checkout.changed(ROOT, ("harness", *archive.FOLDERS))
    return {"commit": checkout.commit(ROOT), "dirty": None if changed is None else bool(changed)}


BUILD = ROOT / "build"
BUILD.mkdir(exist_ok=True)
# Beside the package, what setuptools leaves would be taken for the installed harness by whoever
# runs Python here, entry points and all, long after they have changed.
setup(cmdclass={"build_py": BuildWithStarter}, options={"egg_info": {"egg_base": str(BUILD)}})
