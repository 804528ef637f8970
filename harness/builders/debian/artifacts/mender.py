"""The update artifact of Mender: a signed Artifact (format 3) with one rootfs-image payload.

https://docs.mender.io/artifact-creation/create-an-artifact and sign-and-verify. The payload that we
make is not compressed: the slot image is.
"""

import contextlib
import os
import tarfile
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from harness import files, process, schema
from harness.builders.debian import overlay
from harness.builders.debian.artifacts import archive
from harness.builders.debian.recipe import Recipe, Signing
from harness.builders.debian.tree import Tree
from harness.errors import BuildError, ConfigurationError
from harness.plain import one_line
from harness.product.release import Digest

FILE = "update.mender"
_LARGEST_HEADER = 64 << 10  # bytes


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


def payload(artifact: Path, *, limit: int) -> Digest:
    """The slot image that an Artifact installs, if it has at most `limit` bytes.

    Only archives of plain files as mender-artifact makes them are read, header by header: an
    Artifact is somebody's, and links, sparse files and compressed ones can be of any size. Raises
    ConfigurationError.
    """
    with _archive(artifact) as members:
        data = _one(members, "data/")
        with members.opened(data, r"data/\d{4}", limit=limit, most=1) as content:
            return content.digest(content.only())


def meant_for(artifact: Path) -> Collection[str]:
    """Its device types, of its header (header-info, format 3), without which no device takes an
    Artifact. Raises ConfigurationError."""
    with _archive(artifact) as members:
        header = _one(members, "header.tar")
        with members.opened(header, "header", limit=_LARGEST_HEADER) as content:
            text = content.named("header-info", limit=_LARGEST_HEADER)
            told = schema.json_data(text, what=f"{files.shown(artifact)}: header-info")
    depends = told.get("artifact_depends") if isinstance(told, dict) else None
    found = depends.get("device_type") if isinstance(depends, dict) else None
    types = [one_line(each) for each in found or [] if isinstance(each, str)]
    if not types:
        raise ConfigurationError(f"{files.shown(artifact)}: its header says nothing of device_type")
    return types


def _one(members: archive.Archive, begins: str) -> archive.Member:
    found = [each for each in members.all if each.name.startswith(begins)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} files are called {begins}..., not one")
    return found[0]


@contextlib.contextmanager
def _archive(artifact: Path) -> Iterator[archive.Archive]:
    """An Artifact's outer archive, while it is read; ConfigurationError for what is none."""
    with files.opened(artifact) as stream:
        try:
            end = os.fstat(stream.fileno()).st_size
            yield archive.Archive(stream, list(archive.members(stream, end)))
        except (tarfile.TarError, ValueError) as error:
            raise ConfigurationError(
                f"{files.shown(artifact)}: not an Artifact with one payload", details=str(error)
            ) from error


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
