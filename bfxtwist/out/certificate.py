"""The certificate of an `ssl:` address, which can be read again while the daemon listens there.

Twisted reads the files when it reads the description, and never again: a daemon would have to be restarted as often as its
certificate is renewed, every two months. What Twisted has made of them it hands to the `listenSSL` of the reactor that it
was given. In the reactor's place stands a `Certificate`, which is asked at each new connection:

    description, files ──► Twisted's endpoint ──► listenSSL ──► Certificate ──► connections
    description, files ──► another, at SIGHUP ──► listenSSL ──────┘
"""

import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IListeningPort, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger
from zope.interface import implementer

from bfxtwist.out.address import apart

_log = Logger()

_NAME_ANOTHER = "name another with privateKey= and certKey="
_EXAMPLE = "ssl:8443:privateKey=privkey.pem:certKey=cert.pem:extraCertChain=chain.pem"

#: How a private key begins in PEM, and what says that it has a passphrase: RFC 7468 (11), and RFC 1421 (4.6.1.1) before it.
_KEY = re.compile(rb"^-----BEGIN (?:(ENCRYPTED) |[A-Z]+ )?PRIVATE KEY-----\s*(Proc-Type: *4, *ENCRYPTED)?", re.MULTILINE)
_CERTIFICATE = re.compile(rb"^-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----", re.MULTILINE)


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """What one address shows to new connections. Those that are open go on with what they were shown.

    It is to be given to `serverFromString` as the reactor.
    """

    def __init__(self, reactor: Any, description: str) -> None:
        """Raises ValueError with one line that names the fix."""
        self._reactor = reactor
        self._description = description
        self.shown = self.read()

    def read(self) -> CertificateOptions:
        """What the files hold now. Raises ValueError with one line that names the fix."""
        return read_certificate(self._description)

    def tell(self, address: str) -> None:
        """Until when clients accept it, to the log."""
        certificate = self.shown.certificate
        assert certificate is not None  # or OpenSSL had refused it
        until = datetime.strptime((certificate.get_notAfter() or b"").decode(), "%Y%m%d%H%M%S%z").isoformat(" ")
        if certificate.has_expired():
            _log.error("the certificate of {address} was good until {until}: renew it", address=address, until=until)
        else:
            _log.info("the certificate of {address} is good until {until}", address=address, until=until, news=True)

    def listenSSL(self, port: int, factory: Factory, contextFactory: object, **more: Any) -> IListeningPort:
        """As the endpoint asks the reactor."""
        listening: IListeningPort = self._reactor.listenSSL(port, factory, self, **more)
        return listening

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """As Twisted asks for each connection."""
        return self.shown.serverConnectionForTLS(tlsProtocol)


def read_certificate(description: str) -> CertificateOptions:
    """What the files of an `ssl:` address hold now. Raises ValueError with one line that names the fix."""
    said = f"--listen {description!r}"
    if fix := _without_passphrase(description):
        raise ValueError(f"{said} names a key with a passphrase, which nobody is there to type: {fix}, and name that")
    reader = _Reader()
    try:
        serverFromString(reader, description).listen(Factory())
        reader.read.getContext()  # where a key that OpenSSL holds for too short is refused, else at the first connection
    except OSError as error:
        raise ValueError(f"{said} needs a file ({error.filename}: {error.strerror}): {_NAME_ANOTHER}") from None
    except crypto.Error:
        raise ValueError(f"{said} names a key or a certificate that is none: it must be PEM") from None
    except SSL.Error as error:
        raise ValueError(f"{said} names what OpenSSL refuses ({_why(error)}): {_NAME_ANOTHER}") from None
    except VerifyError:
        raise ValueError(f"{said} names a key and a certificate that do not belong together") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{said} is no endpoint ({error}): write it like {_EXAMPLE}") from None
    return reader.read


def _without_passphrase(description: str) -> str | None:
    """How to take off a passphrase, where OpenSSL would ask for it on the terminal, at each SIGHUP, and all else waits.

    Of several keys OpenSSL takes the first.
    """
    for name in _key_files(description):
        with suppress(OSError, ValueError):  # what cannot be read is explained where Twisted reads it
            content = Path(name).read_bytes()
            if key := _KEY.search(content):
                file = quote(name)
                both = f" && openssl x509 -in {file} >>plain.pem" if _CERTIFICATE.search(content) else ""
                return f"openssl pkey -in {file} -out plain.pem{both}" if any(key.groups()) else None
    return None


def _key_files(description: str) -> tuple[str, str]:
    """The files of an `ssl:` address in which Twisted looks for the private key: the certificate's, and then its own."""
    unnamed, named = apart(description)
    _, _, key, certificate, *_ = *unnamed, "", "", "", ""
    key = named.get("privateKey") or key or "server.pem"  # Twisted's default
    return named.get("certKey") or certificate or key, key


class _Reader:
    """Stands for the reactor where nothing is to be listened to."""

    read: CertificateOptions

    def listenSSL(self, port: int, factory: Factory, contextFactory: CertificateOptions, **more: Any) -> None:
        self.read = contextFactory


def _why(error: SSL.Error) -> str:
    return ", ".join(entry[-1] for entry in error.args[0])
