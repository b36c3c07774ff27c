"""A way through an HTTP proxy: CONNECT, and then the wrapped protocol has the connection to itself.

    -> CONNECT api-pub.bitfinex.com:443 HTTP/1.1
    <- HTTP/1.1 200 Connection established
    <> TLS, end to end: the proxy sees no more than the host's name

Neither Twisted's endpoints nor treq look at HTTPS_PROXY.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from bfxtwist.core.errors import one_line
from bfxtwist.feed.hosts import is_host

#: No proxy says more before the connection is through.
LONGEST_ANSWER = 16 * 1024

#: How long a proxy may take to reach the exchange, in seconds.
PATIENCE = 15.0


class ProxyRefused(ConnectError):
    """The proxy did not connect us. `why` is in its words, where it had any."""

    def __init__(self, why: str) -> None:
        super().__init__(string=why)
        self.why = why

    def __str__(self) -> str:
        return f"the proxy refused: {self.why}"


class ProxyNotReached(ConnectError):
    """The proxy itself is not there. Without its name it would be the exchange that seems to be away."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(string=why)
        self.place, self.why = place, why

    def __str__(self) -> str:
        return f"the proxy at {self.place} (HTTPS_PROXY) cannot be reached: {self.why}"


def proxy_for(host: str, environ: Mapping[str, str]) -> SplitResult | None:
    """The proxy that the environment names for TLS connections to `host`, by HTTPS_PROXY and NO_PROXY in either case.

    Raises ValueError, with the fix, for one that cannot be used.
    """
    named = environ.get("HTTPS_PROXY") or environ.get("https_proxy")
    spared = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    suffixes = [entry.strip().lstrip(".") for entry in spared.split(",") if entry.strip()]
    if not named or any(suffix in ("*", host) or host.endswith(f".{suffix}") for suffix in suffixes):
        return None
    proxy = _proxy(named)
    if proxy is None:
        scheme, colon, place = named.rpartition("://")
        shown = f"{scheme}{colon}{place.rpartition('@')[2]}"  # without its password
        raise ValueError(f"HTTPS_PROXY {shown} cannot be used: give one like http://host:3128, or unset it")
    return proxy


def _proxy(named: str) -> SplitResult | None:
    try:
        proxy = urlsplit(named if "://" in named else f"http://{named}")
        usable = proxy.scheme == "http" and proxy.port != 0 and is_host(proxy.hostname)
    except ValueError:  # no port, or no address
        return None
    return proxy if usable else None


@implementer(IStreamClientEndpoint)
class ThroughProxy:
    """An endpoint that reaches through the proxy at another endpoint. `place` is its address, for people.

    `request` is from `connect_request`.
    """

    def __init__(self, clock: IReactorTime, to_proxy: IStreamClientEndpoint, place: str, request: bytes) -> None:
        self._clock = clock
        self._to_proxy = to_proxy
        self._place = place
        self._request = request

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the wrapped protocol when the proxy has connected it. Fails with ProxyRefused or ProxyNotReached."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, wrapped: IProtocolFactory) -> IProtocol:
        try:
            tunnel = await self._to_proxy.connect(Factory.forProtocol(_Tunnel))
        except (ConnectError, DNSLookupError) as error:
            raise ProxyNotReached(self._place, str(error)) from None
        assert isinstance(tunnel, _Tunnel)
        tunnel.begin(self._request)
        patience = self._clock.callLater(PATIENCE, tunnel.fail, f"no answer within {PATIENCE:g} s")
        try:
            await tunnel.through
        except BaseException:
            tunnel.abort()
            raise
        finally:
            if patience.active():
                patience.cancel()
        protocol = wrapped.buildProtocol(tunnel.peer)
        assert protocol is not None  # our factories always build
        tunnel.hand_over(protocol)
        return protocol


def connect_request(proxy: SplitResult, host: str, port: int) -> bytes:
    """What to ask of the proxy, with the name and password in its URL."""
    lines = [f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}"]
    if proxy.username is not None:
        credentials = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {b64encode(credentials.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


class _Tunnel(Protocol):
    """The connection to the proxy: first our request and its answer, then whatever the wrapped protocol says and hears."""

    def __init__(self) -> None:
        self.through: Deferred[None] = Deferred()
        self._answer = b""
        self._wrapped: IProtocol | None = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self._socket: Any = self.transport
        self.peer: IAddress = self._socket.getPeer()

    def begin(self, request: bytes) -> None:
        self._socket.write(request)

    def hand_over(self, wrapped: IProtocol) -> None:
        self._wrapped = wrapped
        wrapped.makeConnection(self._socket)

    def fail(self, why: str) -> None:
        if not self.through.called:
            self.through.errback(ProxyRefused(why))

    def abort(self) -> None:
        self._socket.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._wrapped is not None:
            self._wrapped.dataReceived(data)
            return
        self._answer += data
        head, end, _ = self._answer.partition(b"\r\n\r\n")
        if end:
            self._judge(head)
        elif len(self._answer) > LONGEST_ANSWER:
            self.fail("an endless answer")

    def _judge(self, head: bytes) -> None:
        """In TLS the client speaks first, so that nothing of the wrapped protocol can come with the answer."""
        status = head.split(b"\r\n", 1)[0].decode("ascii", "replace")
        words = status.split(maxsplit=2)
        if len(words) >= 2 and words[0].startswith("HTTP/1.") and words[1].startswith("2"):
            if not self.through.called:
                self.through.callback(None)
        else:
            self.fail(one_line(status, 200))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._wrapped is not None:
            self._wrapped.connectionLost(reason)
        else:
            self.fail(str(reason.value))
