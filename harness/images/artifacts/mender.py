"""The update artifact of Mender: a signed Artifact (format 3) with one rootfs-image payload.

https://docs.mender.io/artifact-creation/create-an-artifact and sign-and-verify. The payload is not
compressed: the slot image is.
"""

import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harness import process
from harness.errors import BuildError
from harness.images.recipe import Recipe, Signing
from harness.images.tree import Tree

FILE = "update.mender"


def make(slot: Path, output: Path, *, recipe: Recipe, version: str, signing: Signing) -> Path:
    """Write an Artifact that installs `slot` on devices of the recipe; returns `output`."""
    scripts = sorted(recipe.state_scripts.iterdir()) if recipe.state_scripts else []
    with tempfile.TemporaryDirectory(prefix="harness-mender-") as name:  # mode 0700
        process.run(
            [
                *("mender-artifact", "write", "rootfs-image", "--file", slot),
                *("--output-path", output, "--artifact-name", _name(recipe, version)),
                *("--device-type", recipe.compatible, "--compression", "none"),
                *("--key", _traditional(signing.key, Path(name) / "key.pem")),
                *(word for script in scripts for word in ("--script", script)),
            ],
            timeout=300,
            error=BuildError,
        )
    return output


def trust(tree: Tree, recipe: Recipe, version: str, signing: Signing) -> None:
    """Add the public key whose Artifacts are installed, and what this device and version are."""
    certificate = x509.load_pem_x509_certificate(signing.certificate.read_bytes())
    public = certificate.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    tree.file("/etc/mender/artifact-verify-key.pem", public)
    tree.file("/etc/mender/device_type", f"device_type={recipe.compatible}\n")
    tree.file("/etc/mender/artifact_info", f"artifact_name={_name(recipe, version)}\n")


def _traditional(key: Path, output: Path) -> Path:
    """The key in the only forms that mender-artifact 3 reads: PKCS #1 for RSA, SEC 1 for EC."""
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    output.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return output


def _name(recipe: Recipe, version: str) -> str:
    return f"{recipe.machine}-{version}"
