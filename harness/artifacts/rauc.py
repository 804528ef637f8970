"""RAUC's bundles, read: a manifest and one image for a slot, in a squashfs.

https://rauc.readthedocs.io/en/v1.8/reference.html (manifest, formats).
"""

import configparser
import re
import signal
import tempfile
from collections.abc import Collection
from pathlib import Path

from harness import files, process
from harness.errors import ConfigurationError
from harness.fields import FILE_NAME
from harness.plain import one_line
from harness.product import release as releases
from harness.product.release import Digest

MANIFEST = "manifest.raucm"
_LARGEST_MANIFEST = 64 << 10  # bytes


def payload(artifact: Path, *, limit: int) -> Digest:
    """The slot image that a bundle installs, if it has at most `limit` bytes.

    A bundle is somebody's: of what it holds two files are unpacked, and no link of it is followed.
    Raises ConfigurationError.
    """
    image = _image(_manifest(artifact), artifact)
    with tempfile.TemporaryDirectory(prefix="harness-bundle-") as name:
        _unpack(artifact, image, Path(name) / "image", limit=limit)
        with files.member(Path(name) / "image", image, of=artifact) as stream:
            return releases.digest_of(stream)


def meant_for(artifact: Path) -> Collection[str]:
    """What the manifest names as `compatible`, without which no device takes a bundle (RAUC's
    reference, manifest). Raises ConfigurationError."""
    manifest = configparser.ConfigParser(interpolation=None, strict=True)
    try:
        manifest.read_string(_manifest(artifact).decode())
    except (ValueError, configparser.Error) as error:
        raise ConfigurationError(f"{artifact}: its manifest cannot be read") from error
    found = manifest.get("update", "compatible", fallback="")
    if not found:
        raise ConfigurationError(f"{artifact}: its manifest says nothing of update.compatible")
    return [one_line(found)]


def _manifest(artifact: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix="harness-bundle-") as name:
        _unpack(artifact, MANIFEST, Path(name) / "manifest", limit=_LARGEST_MANIFEST)
        with files.member(Path(name) / "manifest", MANIFEST, of=artifact) as stream:
            return stream.read()


def _unpack(artifact: Path, member: str, folder: Path, *, limit: int) -> None:
    """Write one member of a bundle into a new folder. None of its bytes after `limit` are written:
    it can be larger than any disk."""
    words = ["unsquashfs", "-no-progress", "-no-xattrs", "-dest"]
    done = process.run(
        ["prlimit", f"--fsize={limit}", *words, folder, artifact, member],
        timeout=300,
        error=ConfigurationError,
        check=False,
    )
    if done.returncode == -signal.SIGXFSZ:
        raise ConfigurationError(f"{artifact}: {member}: larger than {limit:,} bytes")
    if done.returncode:
        raise ConfigurationError(
            f"{artifact}: unsquashfs cannot unpack {member}",
            details=(done.stderr or done.stdout).strip(),
            hint="build the release again",
        )


def _image(content: bytes, artifact: Path) -> str:
    """The one image that a manifest names; what else it says is not for our errors."""
    manifest = configparser.ConfigParser(interpolation=None, strict=True)
    try:
        manifest.read_string(content.decode())
        sections = [each for each in manifest.sections() if each.startswith("image")]
        [name] = [manifest[each]["filename"] for each in sections]
    except (ValueError, KeyError, configparser.Error) as error:
        raise ConfigurationError(f"{artifact}: its manifest does not name one image") from error
    if not re.fullmatch(FILE_NAME, name) or name == MANIFEST:
        raise ConfigurationError(f"{artifact}: its manifest names no image of the bundle itself")
    return name
