"""Where a URL of the exchange leads: TCP, through a proxy where the environment names one, and in TLS where it must."""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from bfxtwist.feed.proxy import ThroughProxy, connect_request, proxy_for
from bfxtwist.feed.tls import ExplainedTLS

#: For each address of the name, in seconds.
CONNECT_TIMEOUT = 10.0

_PORTS = {"wss": 443, "https": 443, "ws": 80, "http": 80}
_TLS = ("wss", "https")


@implementer(IAgentEndpointFactory)
class Endpoints:
    """An endpoint for each server, kept: for all connections to it, and for all requests.

    In TLS a new one loads the system's authorities anew. That stops the reactor for 5 ms, and takes 0.9 MB that are freed
    late: they hang in a cycle of few objects, for which no garbage collector hurries (22 MB after 300 requests; measured).
    """

    def __init__(self, reactor: Any, *, ca_file: Path | None, environ: Mapping[str, str]) -> None:
        self._reactor = reactor
        self._ca_file = ca_file
        self._environ = environ
        self._known: dict[tuple[bool, str], IStreamClientEndpoint] = {}  # by whether in TLS, and host and port

    def to(self, url: str) -> IStreamClientEndpoint:
        """Where a URL leads. Raises ValueError as `exchange_endpoint` does."""
        parts = urlsplit(url)
        server = (parts.scheme in _TLS, parts.netloc)
        if server not in self._known:
            self._known[server] = exchange_endpoint(self._reactor, url, ca_file=self._ca_file, environ=self._environ)
        return self._known[server]

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        """As twisted.web's Agent asks for each request."""
        return self.to(uri.toBytes().decode("ascii"))


def apart_from_password(url: str) -> tuple[str, dict[str, str]]:
    """A URL without the name and password that may stand in it, and the header that says them (RFC 7617).

    The exchange asks for none; another daemon's relay may.
    """
    parts = urlsplit(url)
    said, at, place = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    encoded = b64encode(unquote(said).encode()).decode()
    return urlunsplit(parts._replace(netloc=place)), {"Authorization": f"Basic {encoded}"}


def exchange_endpoint(
    reactor: Any, url: str, *, ca_file: Path | None = None, environ: Mapping[str, str]
) -> IStreamClientEndpoint:
    """The endpoint of a ws, wss, http or https URL.

    `ca_file` replaces the system's authorities; `environ` is looked up for HTTPS_PROXY and NO_PROXY. Raises ValueError, with
    the fix, for a proxy or a file that cannot be used.
    """
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    if not host or not port:
        raise ValueError(f"{url!r} is not a URL of the exchange: write it like wss://host:port/path")
    if parts.scheme not in _TLS:
        return HostnameEndpoint(reactor, host, port, CONNECT_TIMEOUT)
    proxy = proxy_for(host, environ)
    endpoint: IStreamClientEndpoint
    if proxy is None:
        endpoint = HostnameEndpoint(reactor, host, port, CONNECT_TIMEOUT)
    else:
        name, at = str(proxy.hostname), proxy.port or 80
        to_proxy = HostnameEndpoint(reactor, name, at, CONNECT_TIMEOUT)
        endpoint = ThroughProxy(reactor, to_proxy, f"{name}:{at}", connect_request(proxy, host, port))
    return wrapClientTLS(ExplainedTLS(host, ca_file), endpoint)
