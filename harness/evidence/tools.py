"""Versions of everything that had a part in a run: evidence names its instruments."""

import importlib.metadata
import logging
import platform
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import JsonValue

import harness
from harness import process, project
from harness.errors import HarnessError
from harness.evidence import checkout, installed
from harness.plain import one_line

# Program -> how it tells its version; the first line of what it prints is kept.
_PROGRAMS = {
    "qemu": ("qemu-system-i386", "--version"),
    "qemu-arm": ("qemu-system-aarch64", "--version"),
    "nbdkit": ("nbdkit", "--version"),
    "rauc": ("rauc", "--version"),
    "mender-artifact": ("mender-artifact", "--version"),
    "grub": ("grub-mkimage", "--version"),
    "mmdebstrap": ("mmdebstrap", "--version"),
    "genimage": ("genimage", "--version"),
    "git": ("git", "--version"),
}
_PACKAGES = ("labgrid", "pytest", "paramiko", "pexpect", "qemu.qmp", "securesystemslib")
UNKNOWN = "unknown"  # its version, where it is not installed as a package
_SECONDS = 20
_NAMED = 5  # changed files that are told by name
# What `harness designs run` makes: what is tested is named with its digests, and what was found
# decides nothing. From the checkout, and from a design's own folder.
_MADE = ("images/designs/*/out/*", "images/designs/*/results.json", "results.json")

logger = logging.getLogger(__name__)


def tool_versions(lab: Path | None = None) -> dict[str, JsonValue]:
    """Name -> version of the host's tools, Python packages, system and the harness itself.

    A tool that is not there has the value None: it had no part in the run. `lab`: the lab file that
    is used, which counts as a part of the product folder.
    """
    versions: dict[str, JsonValue] = {name: _first_line(argv) for name, argv in _PROGRAMS.items()}
    versions.update({name: _package(name) for name in _PACKAGES})
    versions["python"] = platform.python_version()
    versions["system"] = platform.platform()
    return {**versions, **_code(lab)}


def tools_at_end(began: dict[str, JsonValue], lab: Path | None = None) -> dict[str, JsonValue]:
    """The versions that a run began with. A harness or product folder that is another one when it
    ends (commit or files) has changes: each of its processes and scenarios was read at a time of
    its own."""
    ended = dict(began)
    for name, now in _code(lab).items():
        was = began.get(name)
        if was != now and isinstance(was, dict):
            logger.warning("the %s was changed during the run: its evidence calls it dirty", name)
            ended[name] = {**was, "dirty": True}
    return ended


def own_version() -> str:
    """The version of this harness."""
    return _package("harness") or UNKNOWN


def _code(lab: Path | None) -> dict[str, JsonValue]:
    """The harness, and the product folder where that is another one than its checkout."""
    found = {"harness": _harness()}
    product = project.find()
    if product and product.root != project.checkout():
        found["project"] = _committed("product folder", product.root, product.parts(lab))
    return found


def _harness() -> JsonValue:
    """Version, commit and whether files differ from that commit, or from the wheel that was built
    from it (None where nobody can say)."""
    package = Path(harness.__file__).resolve().parent
    if (package.parent / ".git").exists():
        told = _committed("harness", package.parent, ("harness", "images", "labs", "tests"))
    else:
        commit, dirty = installed.commit(package)
        changed = installed.changed(package)
        _warn("harness", changed, "as it was installed")
        told = {"commit": commit, "dirty": None if changed is None else bool(changed) or dirty}
    return {"version": own_version(), **told}


def _committed(name: str, root: Path, code: Collection[str]) -> dict[str, JsonValue]:
    """Commit of a checkout, and whether files differ from it; in its folders of `code` also those
    that its .gitignore leaves out."""
    changed = checkout.changed(root, code, made=_MADE)
    _warn(name, changed, "the one of its commit")
    return {
        "commit": checkout.commit(root),
        "dirty": None if changed is None else bool(changed),
    }


def _warn(name: str, changed: Sequence[str] | None, what: str) -> None:
    if changed:
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        names = one_line(", ".join(changed[:_NAMED]))
        logger.warning("the %s is not %s: %s%s", name, what, names, more)


def _package(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_line(argv: tuple[str, ...]) -> str | None:
    printed = _output(argv)
    return printed.splitlines()[0] if printed else None


def _output(argv: tuple[str, ...]) -> str | None:
    try:
        done = process.run(argv, timeout=_SECONDS)
    except HarnessError:
        return None
    return (done.stdout or done.stderr).strip()
