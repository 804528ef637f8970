"""The update artifact of Mender: a signed Artifact (format 3) with one rootfs-image payload.

https://docs.mender.io/artifact-creation/create-an-artifact and sign-and-verify. The payload that we
make is not compressed: the slot image is.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from harness import files, process
from harness.artifacts.mender import meant_for, payload
from harness.builders.debian import overlay
from harness.builders.debian.recipe import Recipe, Signing
from harness.builders.debian.tree import Tree
from harness.errors import BuildError, ConfigurationError

__all__ = ["FILE", "make", "meant_for", "payload", "trust"]

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
