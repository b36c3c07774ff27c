"""Where the daemon listens: what is refused before it starts, and the service that binds.

A bind beyond this machine is asked for by name and protected, or it is refused: a daemon that turns out to be readable by
everybody on the network is found late.
"""

import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorCore
from twisted.logger import Logger
from twisted.python.failure import Failure

from bfxtwist.cannot_listen import CannotListen
from bfxtwist.out.address import apart
from bfxtwist.out.certificate import Certificate
from bfxtwist.out.site import Site
from bfxtwist.place import place_of

_log = Logger()

#: Shorter tokens are guessed.
TOKEN_BYTES = 16


def check_listen(description: str, *, allow_remote: bool = False, token: bool = False) -> None:
    """See to it that listening there is safe: this machine only, or asked for and protected by TLS or a token.

    Raises ValueError with one line that names the fix. Whether the description is one at all, `serverFromString` says.
    """
    _check_given(description)
    if _is_local(description):
        return
    if not allow_remote:
        raise ValueError(
            f"{description} can be reached from other machines: add :interface=127.0.0.1, or --allow-remote if you mean it"
        )
    if not token and not description.startswith("ssl:"):
        raise ValueError(f"{description} can be read by everybody who reaches it: add --token-file, or listen on ssl:")


def _check_given(description: str) -> None:
    unnamed, named = apart(description)
    if unnamed[:1] == ["systemd"] and "UNIX" in (*unnamed, named.get("domain")):
        # Twisted's UNIX port does so to any of its sockets, and then clients have no name for one that systemd still holds.
        why = "Twisted would let everybody in (mode 666), and remove it at the stop"
        raise ValueError(f"{description} is a Unix socket of systemd's, and {why}: listen on unix:, or on a TCP socket")


def _is_local(description: str) -> bool:
    unnamed, named = apart(description)
    kind = unnamed[0] if unnamed else ""
    if kind in ("unix", "systemd"):  # of a socket that systemd has bound, the unit decides
        return True
    return kind in ("tcp", "tcp6", "ssl") and _is_loopback(named.get("interface", ""))


def _is_loopback(interface: str) -> bool:
    try:
        return ip_address(interface).is_loopback
    except ValueError:
        return interface == "localhost"


def read_token(path: Path) -> bytes:
    """The bearer token in a file that nobody else can read. Raises ValueError with one line that names the fix."""
    try:
        mode, token = path.stat().st_mode, path.read_bytes().strip()
    except OSError as error:
        raise ValueError(f"--token-file {path} cannot be read: {error.strerror}") from None
    if stat.S_IMODE(mode) & (0o037 if _is_credential(path) else 0o077):
        raise ValueError(f"--token-file {path} can be read by others: chmod 600 {path}")
    if len(token) < TOKEN_BYTES or not token.isascii() or len(token.split()) != 1:
        raise ValueError(f"--token-file {path} must hold one word of {TOKEN_BYTES} bytes or more: openssl rand -hex 32")
    return token


def _is_credential(path: Path) -> bool:
    """Whether systemd has put it there for this unit alone: by an ACL, which looks like a group's right (systemd #29435)."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return folder is not None and path.parent == Path(folder)


def url_of(address: IAddress, *, secure: bool) -> str:
    """What to open in a browser, or to hand to a client."""
    if not isinstance(address, IPv4Address | IPv6Address):
        return f"unix:{getattr(address, 'name', b'').decode()}"
    return f"http{'s' if secure else ''}://{place_of(address.host, address.port)}"


class HttpService(Service):
    """Listens on every description while it runs.

    It binds in `privilegedStartService`, where a failure still stops twistd (in `startService` it would be logged, and the
    daemon would run on without HTTP).
    """

    name = "http"

    def __init__(self, reactor: IReactorCore, descriptions: Iterable[str], site: Site) -> None:
        """Raises ValueError, with the fix, for a certificate that cannot be used."""
        several = list(descriptions)
        self._certificates = {what: Certificate(reactor, what) for what in several if what.startswith("ssl:")}
        # A certificate stands in the reactor's place: `certificate.py` says why.
        self._endpoints = [(what, serverFromString(self._certificates.get(what, reactor), what)) for what in several]
        self._site = site
        self._ports: list[tuple[str, IListeningPort]] = []  # with the description of each

    @property
    def addresses(self) -> list[str]:
        """The URLs, once it listens."""
        return [url_of(port.getHost(), secure=what in self._certificates) for what, port in self._ports]

    def privilegedStartService(self) -> None:
        """Bind. Raises CannotListen, and twistd ends with it."""
        super().privilegedStartService()
        for what, endpoint in self._endpoints:
            if given := _other_family(endpoint):
                fix = "listen on unix:, or on a TCP socket" if given == "UNIX" else f"write domain={given}"
                raise CannotListen(f"cannot listen on {what} (systemd gives a socket of another kind): {fix}")
            failures: list[Failure] = []
            listening = endpoint.listen(self._site)
            listening.addCallbacks(lambda port, what=what: self._ports.append((what, port)), failures.append)
            if failures:
                raise CannotListen(f"cannot listen on {what} ({_why(failures[0])}): choose another --listen")

    def startService(self) -> None:
        """Bind, where nobody has called `privilegedStartService` (a program with its own reactor)."""
        if not self._ports:
            self.privilegedStartService()
        super().startService()
        for address in self.addresses:
            _log.info("listening on {address}", address=address)
        self._tell_certificates()

    def read_certificates(self) -> None:
        """Show new connections what the files of the certificates hold now.

        Raises ValueError with the fix, and changes nothing, where one of them cannot be used.
        """
        read = [(certificate, certificate.read()) for certificate in self._certificates.values()]
        for certificate, shown in read:
            certificate.shown = shown
        self._tell_certificates()

    def _tell_certificates(self) -> None:
        for (what, _), address in zip(self._ports, self.addresses, strict=True):
            if what in self._certificates:
                self._certificates[what].tell(address)

    def stopService(self) -> Deferred[None]:
        """Listen no more, and end the connections."""
        super().stopService()
        ports, self._ports = self._ports, []
        stopped = gatherResults([maybeDeferred(port.stopListening) for _, port in ports])
        return stopped.addCallback(lambda _: self._site.close_connections())


def _other_family(endpoint: object) -> str | None:
    """The kind of a socket that systemd gives, where another was named: whatever is read of its addresses is rubbish."""
    if not isinstance(endpoint, AdoptedStreamServerEndpoint):
        return None
    with suppress(OSError), socket.socket(fileno=os.dup(endpoint.fileno)) as given:  # of what is none, Twisted tells
        if given.family != endpoint.addressFamily:
            return given.family.name.removeprefix("AF_")
    return None


def _why(failure: Failure) -> str:
    error = getattr(failure.value, "socketError", failure.value)
    if error == "Cannot acquire lock":  # Twisted's, of a Unix socket: it goes by a pid, which may be another's after a crash
        path = os.fsdecode(getattr(failure.value, "port", ""))
        return f"{path}.lock says that a process listens there: if none does, remove that file"
    return getattr(error, "strerror", None) or str(error)
