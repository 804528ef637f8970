"""Versions of everything that had a part in a run: evidence names its instruments."""

import importlib.metadata
import logging
import platform
from pathlib import Path

from pydantic import JsonValue

import harness
from harness import process
from harness.errors import HarnessError
from harness.evidence import checkout
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

logger = logging.getLogger(__name__)


def tool_versions() -> dict[str, JsonValue]:
    """Name -> version of the host's tools, Python packages, system and the harness itself.

    A tool that is not there has the value None: it had no part in the run.
    """
    versions: dict[str, JsonValue] = {name: _first_line(argv) for name, argv in _PROGRAMS.items()}
    versions.update({name: _package(name) for name in _PACKAGES})
    versions["python"] = platform.python_version()
    versions["system"] = platform.platform()
    versions["harness"] = _harness()
    return versions


def tools_at_end(began: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The versions that a run began with. A harness that is another one when it ends (commit or
    files) has changes: each of its processes and scenarios was read at a time of its own."""
    was, now = began["harness"], _harness()
    if was == now or not isinstance(was, dict):
        return began
    logger.warning("the harness was changed during the run: its evidence calls it dirty")
    return {**began, "harness": {**was, "dirty": True}}


def own_version() -> str:
    """The version of this harness."""
    return _package("harness") or UNKNOWN


def _harness() -> JsonValue:
    """Version, commit and whether files differ from that commit (None outside a checkout)."""
    root = Path(harness.__file__).parents[1]
    told: dict[str, JsonValue] = {"version": own_version(), "commit": None, "dirty": None}
    if (root / ".git").exists():
        told["commit"] = checkout.commit(root)
        changed = checkout.changed(root)
        told["dirty"] = None if changed is None else bool(changed)
        if changed:
            more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
            names = one_line(", ".join(changed[:_NAMED]))
            logger.warning("the harness is not the one of its commit: %s%s", names, more)
    return told


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
