"""The update artifact of systemd-sysupdate: what its source folder holds, as a tar archive.

sysupdate installs files, not one artifact (sysupdate.d(5)): a product's update is the folder with a
root (or /usr) image, a unified kernel image, checksums and their signature. For the harness, and
for a device that fetches one URL, it is one uncompressed tar of them.
"""

import os
import tarfile
from collections.abc import Collection
from pathlib import Path

from harness import files
from harness.artifacts import archive
from harness.errors import ConfigurationError
from harness.product.release import Digest

_BESIDE = (".efi", "SHA256SUMS", ".gpg", ".asc", ".verity", ".sig")


def payload(artifact: Path, *, limit: int) -> Digest:
    """The one image for a partition that it holds, if it has at most `limit` bytes;
    ConfigurationError."""
    with files.opened(artifact) as stream:
        try:
            found = list(archive.members(stream, os.fstat(stream.fileno()).st_size))
            images = [each for each in found if not each.name.endswith(_BESIDE)]
            if len(images) != 1:
                told = ", ".join(each.name for each in images) or "none"
                raise ValueError(f"images for a partition: {told}")
            if images[0].size > limit:
                raise ValueError(f"{images[0].name}: larger than {limit:,} bytes")
            return archive.Archive(stream, found).digest(images[0])
        except (tarfile.TarError, ValueError) as error:
            raise ConfigurationError(
                f"{files.shown(artifact)}: not a tar with one image for a partition",
                details=str(error),
                hint="docs/adopt.md says what an update of systemd-sysupdate is here",
            ) from error


def meant_for(artifact: Path) -> Collection[str]:
    """It does not say: a transfer file's patterns decide what a device takes."""
    return ()
