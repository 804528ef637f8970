"""The update artifact of Mender: a signed Artifact (format 3) with one rootfs-image payload.

https://docs.mender.io/artifact-creation/create-an-artifact and sign-and-verify. The payload is not
compressed: the slot image is.
"""

import contextlib
import hashlib
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from harness import files, process
from harness.errors import BuildError, ConfigurationError
from harness.images import overlay
from harness.images.recipe import Recipe, Signing
from harness.images.release import Digest
from harness.images.tree import Tree

FILE = "update.mender"


def make(slot: Path, output: Path, *, recipe: Recipe, version: str, signing: Signing) -> Path:
    """Write an Artifact that installs `slot` on devices of the recipe; returns `output`."""
    folder = recipe.state_scripts
    scripts = overlay.contents(folder, where="an Artifact") if folder else {}
    with tempfile.TemporaryDirectory(prefix="harness-mender-") as name:  # mode 0700
        process.run(
            [
                *("mender-artifact", "write", "rootfs-image", "--file", slot),
                *("--output-path", output, "--artifact-name", _name(recipe, version)),
                *("--device-type", recipe.compatible, "--compression", "none"),
                *("--key", _traditional(signing.key, Path(name) / "key.pem")),
                *(word for name in scripts for word in ("--script", f"{folder}/{name}")),
            ],
            timeout=300,
            error=BuildError,
        )
    return output


def trust(tree: Tree, recipe: Recipe, version: str, signing: Signing) -> None:
    """Add the public key whose Artifacts are installed, and what this device and version are."""
    with _usable(signing.certificate, "certificate"):
        certificate = x509.load_pem_x509_certificate(files.read(signing.certificate))
        public = certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    tree.file("/etc/mender/artifact-verify-key.pem", public)
    tree.file("/etc/mender/device_type", f"device_type={recipe.compatible}\n")
    tree.file("/etc/mender/artifact_info", f"artifact_name={_name(recipe, version)}\n")


def payload(artifact: Path) -> Digest:
    """The slot image that an Artifact installs. Raises ConfigurationError."""
    found = []
    try:
        with tarfile.open(artifact, mode="r:") as outer:
            for member in outer:
                if re.fullmatch(r"data/\d{4}\.tar(\.\w+)?", member.name):
                    found += _files(outer, member)
        [digest] = found
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ConfigurationError(
            f"{artifact}: not an Artifact with one payload", details=str(error)
        ) from error
    return digest


def _files(outer: tarfile.TarFile, member: tarfile.TarInfo) -> list[Digest]:
    """Everything in one payload of an Artifact."""
    stream = outer.extractfile(member)
    found = []
    with tarfile.open(fileobj=stream, mode="r|*") as inner:
        for each in inner:
            content = inner.extractfile(each)
            if content is None:
                raise ValueError(f"{each.name}: not a file")
            digest = hashlib.sha256()
            while block := content.read(1 << 20):
                digest.update(block)
            found.append(Digest(sha256=digest.hexdigest(), size=each.size))
    return found


def _traditional(key: Path, output: Path) -> Path:
    """The key in the only forms that mender-artifact 3 reads: PKCS #1 for RSA, SEC 1 for EC."""
    with _usable(key, "private key without a password"):
        private = serialization.load_pem_private_key(files.read(key), password=None)
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    output.write_bytes(pem)
    return output


@contextlib.contextmanager
def _usable(path: Path, kind: str) -> Iterator[None]:
    """A block that reads a PEM file; ConfigurationError when there is something else in it."""
    try:
        yield
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path}: no {kind} (PEM)", details=str(error)) from error


def _name(recipe: Recipe, version: str) -> str:
    return f"{recipe.machine}-{version}"
