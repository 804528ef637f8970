"""The update artifact of RAUC: a signed bundle in the verity format around a slot image.

https://rauc.readthedocs.io/en/v1.8/reference.html (manifest, formats). The bundle's own squashfs is
not compressed: the slot image in it is.
"""

import os
import tempfile
from pathlib import Path

from harness import files, process
from harness.artifacts.rauc import MANIFEST, meant_for, payload
from harness.builders.debian.recipe import Recipe, Signing
from harness.builders.debian.tree import Tree
from harness.errors import BuildError

__all__ = ["FILE", "make", "meant_for", "payload", "trust"]

FILE = "update.raucb"


def make(slot: Path, output: Path, *, recipe: Recipe, version: str, signing: Signing) -> Path:
    """Write a bundle that installs `slot` on devices of the recipe; returns `output`."""
    with tempfile.TemporaryDirectory(prefix="harness-bundle-", dir=output.parent) as name:
        folder = Path(name) / "content"
        folder.mkdir()
        os.link(slot, folder / "rootfs.img")
        (folder / MANIFEST).write_text(
            f"[update]\ncompatible={recipe.compatible}\nversion={version}\n\n"
            "[bundle]\nformat=verity\n\n[image.rootfs]\nfilename=rootfs.img\n",
            encoding="utf-8",
        )
        process.run(
            [
                *("rauc", "bundle", f"--cert={signing.certificate}", f"--key={signing.key}"),
                f"--keyring={signing.keyring}",
                *("--mksquashfs-args=-noI -noD -noF -noX", folder, output),
            ],
            timeout=300,
            error=BuildError,
        )
    return output


def trust(tree: Tree, recipe: Recipe, version: str, signing: Signing) -> None:
    """Add the keyring of certificates whose bundles are installed."""
    tree.file("/etc/rauc/keyring.pem", files.read(signing.keyring))
