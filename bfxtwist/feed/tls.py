"""TLS to the exchange: verified against the system's authorities or a file's, and the reason of a refusal told.

There is no switch to go without. The name is looked at here: of a certificate without one, or with one that cannot be read,
Twisted 26.10 makes a traceback in the log, and a connection, whomever it was made out to. When OpenSSL refuses a certificate
it says no more than "certificate verify failed"; the alert that it sends to the server says why, and the log gets that.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto
from service_identity import CertificateError
from service_identity.hazmat import DNS_ID, DNSPattern
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.python.failure import Failure
from zope.interface import implementer

_END = b"-----END CERTIFICATE-----"

#: Alerts by which a client refuses a certificate (RFC 8446, 6.2). Which one OpenSSL sends for what: ssl_x509err2alert.
_REFUSALS: Mapping[int, str] = {
    42: "the certificate is bad: not yet valid, or its signature is wrong",
    43: "the certificate is of an unsupported kind, or not for a server",
    44: "the certificate has been revoked",
    45: "the certificate has expired",
    48: "the certificate is from an unknown authority: install ca-certificates (on macOS: --ca-file /etc/ssl/cert.pem), or "
    "name a private authority's with --ca-file",
    70: "the server speaks an old version of TLS only",
}


class CertificateRefused(Exception):
    """The server's certificate, or its TLS, is not good enough."""


#: All that a connection may end with because of TLS.
TLS_ERRORS = (CertificateRefused, SSL.Error)


def explain(error: Exception) -> str:
    """What is wrong, in words; other errors in their own."""
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        return ", ".join(str(entry[-1]) for entry in error.args[0])
    return str(error)


@implementer(IOpenSSLClientConnectionCreator)
class ExplainedTLS:
    """Connections to `host` only, with the reason of a refusal for `connectionLost`."""

    def __init__(self, host: str, ca_file: Path | None = None) -> None:
        self._host = host
        self._verified = optionsForClientTLS(host, trustRoot=None if ca_file is None else _authorities(ca_file))

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """A connection as Twisted makes it, with our look at the name and an ear for the alerts that it sends."""
        connection: SSL.Connection = self._verified.clientConnectionForTLS(tlsProtocol)

        def told(_connection: SSL.Connection, where: int, alert: int) -> None:
            # Of a wrong name the verifier has told, and the alert (46, "unknown") is none of these.
            if where == SSL.SSL_CB_WRITE_ALERT and (alert & 0xFF) in _REFUSALS:
                tlsProtocol.failVerification(Failure(CertificateRefused(_REFUSALS[alert & 0xFF])))

        connection.set_info_callback(told)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verifier(self._host, tlsProtocol))
        return connection


def _verifier(host: str, tls_protocol: Any) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
    """For `set_verify`: what OpenSSL says of the chain, and whether the certificate is made out to `host`."""

    def verify(_connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, is_good: int) -> bool:
        if depth > 0 or not is_good:
            return bool(is_good)
        try:
            _check_name(certificate, host)
        except CertificateRefused as error:
            tls_protocol.failVerification(Failure(error))
            return False
        return True

    return verify


def _check_name(certificate: crypto.X509, host: str) -> None:
    """Raises CertificateRefused unless it is made out to `host`."""
    try:
        names = certificate.to_cryptography().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        raise CertificateRefused(f"the certificate has no subjectAltName that says that it is for {host}") from None
    if not _is_among(names, host):
        raise CertificateRefused(f"the certificate is for another host, not for {host}")


def _is_among(names: x509.SubjectAlternativeName, host: str) -> bool:
    """Others that cannot be read, such as an address among the names for DNS, do not spoil a good one."""
    try:
        return ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        wanted = DNS_ID(host)
    for name in names.get_values_for_type(x509.DNSName):
        with suppress(CertificateError):
            if wanted.verify(DNSPattern.from_bytes(name.encode())):
                return True
    return False


def _authorities(ca_file: Path) -> Any:
    """Those in a PEM file. Raises ValueError, with the fix, when there is none in it."""
    blocks = [block + _END for block in ca_file.read_bytes().split(_END)[:-1]]
    try:
        certificates = [Certificate.loadPEM(block[block.index(b"-----BEGIN") :]) for block in blocks]
    except (crypto.Error, ValueError):
        raise ValueError(f"--ca-file {ca_file} holds what is no certificate: give it those in PEM form only") from None
    if not certificates:
        raise ValueError(f"--ca-file {ca_file} holds no certificate: give it one in PEM form")
    return trustRootFromCertificates(certificates)
