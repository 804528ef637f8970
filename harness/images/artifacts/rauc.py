"""The update artifact of RAUC: a signed bundle in the verity format around a slot image.

https://rauc.readthedocs.io/en/v1.8/reference.html (manifest, formats). The bundle's own squashfs is
not compressed: the slot image in it is.
"""

import configparser
import os
import tempfile
from pathlib import Path

from harness import files, process
from harness.errors import BuildError, ConfigurationError
from harness.images import release as releases
from harness.images.recipe import Recipe, Signing
from harness.images.release import Digest
from harness.images.tree import Tree

FILE = "update.raucb"


def make(slot: Path, output: Path, *, recipe: Recipe, version: str, signing: Signing) -> Path:
    """Write a bundle that installs `slot` on devices of the recipe; returns `output`."""
    with tempfile.TemporaryDirectory(prefix="harness-bundle-", dir=output.parent) as name:
        folder = Path(name) / "content"
        folder.mkdir()
        os.link(slot, folder / "rootfs.img")
        (folder / "manifest.raucm").write_text(
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


def payload(artifact: Path) -> Digest:
    """The slot image that a bundle installs. Raises ConfigurationError."""
    with tempfile.TemporaryDirectory(prefix="harness-bundle-") as name:
        content = Path(name) / "content"
        # What it cannot do as an ordinary user (devices, owners) is no part of a bundle.
        process.run(
            ["unsquashfs", "-no-progress", "-no-xattrs", "-dest", content, artifact],
            timeout=300,
            error=ConfigurationError,
        )
        return releases.digest(content / _image(content, artifact))


def _image(content: Path, artifact: Path) -> str:
    """The one image that the manifest names."""
    manifest = configparser.ConfigParser(interpolation=None, strict=True)
    try:
        manifest.read_string((content / "manifest.raucm").read_text(encoding="utf-8"))
        sections = [each for each in manifest.sections() if each.startswith("image")]
        [name] = [manifest[each]["filename"] for each in sections]
    except (OSError, ValueError, KeyError, configparser.Error) as error:
        raise ConfigurationError(
            f"{artifact}: its manifest does not name one image", details=str(error)
        ) from error
    file = content / name
    if Path(name).name != name or file.is_symlink() or not file.is_file():
        raise ConfigurationError(f"{artifact}: its manifest names {name}, which it does not hold")
    return name
