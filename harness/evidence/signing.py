"""Signing and checking evidence: DSSE envelopes with securesystemslib, ed25519 keys.

Whoever holds a private key can say "this was tested"; which public keys are believed is said by
the policy of the release repository, never here.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import (
    FormatError,
    UnverifiedSignatureError,
    VerificationError,
)

# Its documented names, which the library imports there without re-exporting them for mypy.
from securesystemslib.signer import (  # type: ignore[attr-defined]
    CryptoSigner,
    Key,
    Signature,
    SSlibKey,
)

from harness import files, paths
from harness.errors import ConfigurationError, HarnessError, PromotionError
from harness.evidence.evidence import PAYLOAD_TYPE

_VARIABLE = "HARNESS_EVIDENCE_KEY"


class BrokenEvidenceError(PromotionError):
    """Evidence that is damaged, or whose signature is wrong: nobody can say what it said."""


class UntrustedEvidenceError(PromotionError):
    """Evidence that is signed, but by nobody whom the policy believes."""


def load_signer(path: Path | None = None) -> CryptoSigner:
    """The key that signs this host's evidence.

    That is `path`, else the file that $HARNESS_EVIDENCE_KEY names (CI), else the development
    key, which is made at first use. Raises ConfigurationError for a file that holds no such key,
    and names the variable where that names the file.
    """
    named = os.environ.get(_VARIABLE)
    if path or not named:
        return _signer(path or _development_key())
    try:
        return _signer(Path(named))
    except HarnessError as error:
        brief = f"${_VARIABLE}: {error.brief}"
        raise type(error)(brief, details=error.details, hint=error.hint) from error


def _signer(file: Path) -> CryptoSigner:
    try:
        key = serialization.load_pem_private_key(files.read(file), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{file}: not a usable private key", details=str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(
            f"{file}: not an ed25519 private key",
            hint="make one with: openssl genpkey -algorithm ed25519 -out KEY.pem",
        )
    files.require_private(file)
    return CryptoSigner(key)


def public_pem(signer: CryptoSigner) -> str:
    """The signer's public key as PEM, as the policy file takes it."""
    raw = bytes.fromhex(signer.public_key.keyval["public"])
    return (
        Ed25519PublicKey.from_public_bytes(raw)
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def public_key(pem: str) -> Key:
    """A public key from PEM; raises ValueError when it is not an ed25519 one."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an ed25519 public key")
    return SSlibKey.from_crypto(key)


def seal(payload: bytes, signer: CryptoSigner) -> bytes:
    """A DSSE envelope (JSON) over exactly `payload`."""
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return (json.dumps(envelope.to_dict(), indent=2) + "\n").encode()


def opened(data: bytes, *, what: str) -> Envelope:
    """An envelope that somebody signed; BrokenEvidenceError when it is none."""
    try:
        envelope = Envelope.from_dict(json.loads(data))
        told = [envelope.payload_type, *envelope.signatures]
        if not all(isinstance(text, str) for text in told):
            raise TypeError("payloadType or keyid is no text")
    except (
        ValueError, KeyError, TypeError, AttributeError, FormatError, RecursionError
    ) as error:  # fmt: skip
        raise BrokenEvidenceError(
            f"{what}: not a DSSE envelope", details=f"  {type(error).__name__}: {error}"
        ) from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise BrokenEvidenceError(
            f"{what}: holds {envelope.payload_type}, not an in-toto statement"
        )
    if not envelope.signatures:
        raise BrokenEvidenceError(
            f"{what}: nobody signed it", hint="its signatures were taken out: restore it"
        )
    return envelope


def require_signed(envelope: Envelope, keys: Sequence[Key], *, what: str) -> None:
    """Raises unless one of `keys` signed the envelope: BrokenEvidenceError when it has a signature
    that claims to be of one of them, UntrustedEvidenceError when it has none.

    The id of a key in an envelope is a hint that nobody signed (DSSE, "keyid"): a signature counts
    for the key that it fits, whatever name stands beside it.
    """
    content = envelope.pae()
    if any(_made(key, each, content) for each in envelope.signatures.values() for key in keys):
        return
    if any(key.keyid in envelope.signatures for key in keys):
        raise BrokenEvidenceError(
            f"{what}: the signature does not fit the content",
            hint="the file was changed after it was signed: restore it, or test again",
        )
    signers = ", ".join(key[:16] for key in envelope.signatures)
    raise UntrustedEvidenceError(f"{what}: signed by a key that is not trusted: {signers}")


def _made(key: Key, signature: Signature, content: bytes) -> bool:
    try:
        key.verify_signature(Signature(key.keyid, signature.signature), content)
    except (UnverifiedSignatureError, VerificationError):
        return False
    return True


def _development_key() -> Path:
    """The file of the development key; two processes that make it at once agree on one."""
    folder = files.make_folder(paths.home() / "pki", mode=0o700)
    file = folder / "evidence_ed25519"
    if not file.exists():
        key = CryptoSigner.generate_ed25519().private_bytes
        files.write_whole(file, key, mode=0o600, replace=False)
    return file
