"""Development keys, made at first use under paths.home()/pki: signer and successor, stranger, the
update server's CA, SSH access.

For the bench and CI only: a product names its own signer in the recipe (`signing`) and keeps its
key in an HSM. The stranger is a signer that no device trusts, for tests. Certificates are valid
from the day before they were made, as a product's are: a gateway with a reset clock must cope.
"""

import datetime
import fcntl
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness import files, paths, project
from harness.builders.builder import Authority
from harness.builders.debian.recipe import DEVELOPMENT, Recipe, Signing, Variant

_BEFORE = datetime.timedelta(days=1)  # for hosts whose clocks are a little late
_UNTIL = datetime.datetime(2050, 1, 1, tzinfo=datetime.UTC)


def development() -> Signing:
    """The development signer; made at first use."""
    return _signer("development")


def signer(recipe: Recipe) -> Signing:
    """Who signs a recipe's update artifacts."""
    return development() if recipe.signing == DEVELOPMENT else recipe.signing


def trusted(recipe: Recipe, variants: Sequence[Variant]) -> Signing:
    """Who signs what is installed on devices of a recipe with these variants: who signs their own
    version, or the successor."""
    found = recipe.succeeded_by(variants)
    return _signer("successor") if found == DEVELOPMENT else found or signer(recipe)


def told(signing: Signing) -> str:
    """A signer's name in a release: `development`, or its certificate."""
    certificate = signing.certificate
    return DEVELOPMENT if certificate.parent == _folder() else project.told(certificate)


def stranger() -> Signing:
    """A signer with the same names whose certificate chain no image trusts; made at first use."""
    return _signer("stranger")


def server_ca(recipe: Recipe) -> Authority | None:
    """Who signs the certificates of the update server of a recipe's devices, if it says so; the
    development one is made at first use."""
    if recipe.server_ca != DEVELOPMENT:
        return recipe.server_ca
    folder = _folder()
    authority = Authority(certificate=folder / "server.ca.pem", key=folder / "server.ca.key.pem")
    _once(folder, authority.certificate, lambda: _make_authority(authority))
    return authority


def ssh_key() -> Path:
    """The private SSH key (ed25519, OpenSSH format) that images let in; `.pub` is next to it."""
    folder = _folder()
    path = paths.ssh_key()
    _once(folder, path, lambda: _make_ssh_key(path))
    files.require_private(path)
    return path


def _signer(name: str) -> Signing:
    folder = _folder()
    signing = Signing(
        certificate=folder / f"{name}.cert.pem",
        key=folder / f"{name}.key.pem",
        keyring=folder / f"{name}.ca.pem",
    )
    _once(folder, signing.certificate, lambda: _make_signer(signing))
    return signing


def _folder() -> Path:
    return files.make_folder(paths.home() / "pki", mode=0o700)


def _once(folder: Path, marker: Path, make: Callable[[], None]) -> None:
    """Call `make` unless `marker` exists; two processes at once make one key."""
    with files.told(folder / ".lock"), (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            make()


def _make_ssh_key(path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    _write(path.with_suffix(".pub"), public + b" harness\n")
    _write(path, private)


def _make_signer(signing: Signing) -> None:
    """A CA and a code signing certificate of its (RAUC 1.8, "check-purpose=codesign")."""
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("Harness development CA")
    root = _certificate(issuer, issuer, authority.public_key(), authority, ca=True)
    key = ec.generate_private_key(ec.SECP256R1())
    signer = _name("Harness development signer")
    leaf = _certificate(signer, issuer, key.public_key(), authority, ca=False)
    _write(signing.keyring, root.public_bytes(serialization.Encoding.PEM))
    _write(signing.key, private_pem(key))
    _write(signing.certificate, leaf.public_bytes(serialization.Encoding.PEM))


def _make_authority(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("Harness development CA of update servers")
    root = _certificate(issuer, issuer, key.public_key(), key, ca=True)
    _write(authority.key, private_pem(key))
    _write(authority.certificate, root.public_bytes(serialization.Encoding.PEM))


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM (PKCS #8), without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Write a key: mode 0600 from the start, complete or not there."""
    files.write_whole(path, content, mode=0o600)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.now(datetime.UTC) - _BEFORE)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(_usage(ca=ca), critical=True)
    )
    if not ca:
        # Devices ask for code signing, `rauc bundle` on the host checks its work as S/MIME.
        usage = x509.ExtendedKeyUsage(
            [ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION]
        )
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
