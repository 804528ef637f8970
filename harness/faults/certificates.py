"""What TLS certificate an update server shows, and such certificates.

A device must believe those of its product's CA while they are valid, also another one than last
time (a CA renews them), and no others.
"""

import datetime
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from harness import files
from harness.builders.builder import Authority
from harness.errors import ConfigurationError

_DAY = datetime.timedelta(days=1)


class Certificate(StrEnum):
    """The one that is shown to who connects."""

    VALID = "tls"
    ROTATED = "tls-rotated"  # another valid one from the middle of the download on
    EXPIRED = "tls-expired"
    FUTURE = "tls-future"  # not valid yet
    STRANGER = "tls-stranger"  # signed by somebody with the name of the product's CA

    @property
    def believed(self) -> bool:
        """Whether a device must believe it; else it must not."""
        return self in (Certificate.VALID, Certificate.ROTATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Makes certificates for the update server at `host` (an address or a name)."""

    authority: Authority
    host: str

    def show(self, context: ssl.SSLContext, certificate: Certificate) -> None:
        """Show a new one of that kind to all who connect from now on. ConfigurationError when the
        authority cannot be used."""
        key = ec.generate_private_key(ec.SECP256R1())
        chain = self._issue(certificate, key).public_bytes(serialization.Encoding.PEM)
        with tempfile.NamedTemporaryFile() as file:  # mode 0600
            file.write(_pem(key) + chain)
            file.flush()
            context.load_cert_chain(file.name)

    def _issue(self, kind: Certificate, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        first, last = now - _DAY, now + 30 * _DAY
        if kind is Certificate.EXPIRED:
            first, last = now - 30 * _DAY, now - _DAY
        elif kind is Certificate.FUTURE:
            first = now + _DAY
        signer, issuer = self._signer()
        if kind is Certificate.STRANGER:
            signer = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "update server")])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
            .add_extension(x509.SubjectAlternativeName([_name(self.host)]), critical=False)
            .sign(signer, hashes.SHA256())
        )

    def _signer(self) -> tuple[ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, x509.Name]:
        files.require_private(self.authority.key)
        try:
            key = serialization.load_pem_private_key(files.read(self.authority.key), password=None)
            authority = x509.load_pem_x509_certificate(files.read(self.authority.certificate))
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{self.authority.certificate}: no CA certificate with its key (PEM)",
                details=str(error),
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ConfigurationError(f"{self.authority.key}: neither an RSA nor an EC key")
        return key, authority.subject


def server_context() -> ssl.SSLContext:
    """What a server with no certificate yet speaks TLS with."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
