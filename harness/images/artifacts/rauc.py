"""The update artifact of RAUC: a signed bundle in the verity format around a slot image.

https://rauc.readthedocs.io/en/v1.8/reference.html (manifest, formats). The bundle's own squashfs is
not compressed: the slot image in it is.
"""

import os
import tempfile
from pathlib import Path

from harness import process
from harness.errors import BuildError
from harness.images import pki, tools
from harness.images.recipe import Signing
from harness.images.release import Release


def make(slot: Path, output: Path, *, compatible: str, version: str, signing: Signing) -> Path:
    """Write a bundle that installs `slot` on devices of `compatible`; returns `output`."""
    with tempfile.TemporaryDirectory(prefix="harness-bundle-", dir=output.parent) as name:
        folder = Path(name) / "content"
        folder.mkdir()
        os.link(slot, folder / "rootfs.img")
        (folder / "manifest.raucm").write_text(
            f"[update]\ncompatible={compatible}\nversion={version}\n\n"
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


def sign_as_stranger(release: Release, output: Path) -> Path:
    """The same update, signed by somebody whom no device trusts (for tests); returns `output`."""
    output.unlink(missing_ok=True)
    slot = output.with_name(output.name + ".slot")
    slot.unlink(missing_ok=True)
    tools.copy(release.slot_image, slot)  # `output` may be on another file system
    try:
        return make(
            slot,
            output,
            compatible=release.compatible,
            version=release.version,
            signing=pki.stranger(),
        )
    finally:
        slot.unlink()
