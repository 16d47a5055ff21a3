"""Certificate authorities and certificates for TLS servers on loopback, made anew in each run."""

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate with its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The certificate as it stands in a file."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def authority(name: str, issuer: Certified | None = None) -> Certified:
    """Return a CA: a root, or one below another."""
    return _issued(name, issuer, is_authority=True)


def issued(
    issuer: Certified | None, *, host: str = LOOPBACK, days: tuple[int, int] = (-1, 1)
) -> Certified:
    """Return a server's certificate, valid from and to so many days from now."""
    return _issued("server", issuer, hosts=[host], days=days)


@cache
def self_signed() -> Certified:
    """Return a server's certificate that nobody vouches for."""
    return issued(None)


def server_side(certified: Certified) -> ssl.SSLContext:
    """Return the context of a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = certified.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "server.pem"
        file.write_text(key.decode() + certified.pem, "ascii")
        context.load_cert_chain(file)
    return context


def _issued(
    name: str,
    issuer: Certified | None,
    *,
    hosts: Sequence[str] = (),
    days: tuple[int, int] = (-1, 1),
    is_authority: bool = False,
) -> Certified:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_name(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Certified(key, certificate)


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
