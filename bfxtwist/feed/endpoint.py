"""Where a URL of the exchange leads: TCP, through a proxy where the environment names one, and in TLS where it must."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint

from bfxtwist.feed.proxy import ThroughProxy, connect_request, proxy_for
from bfxtwist.feed.tls import ExplainedTLS

#: For each address of the name, in seconds.
CONNECT_TIMEOUT = 10.0

_PORTS = {"wss": 443, "https": 443, "ws": 80, "http": 80}


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
    if parts.scheme not in ("wss", "https"):
        return HostnameEndpoint(reactor, host, port, CONNECT_TIMEOUT)
    proxy = proxy_for(host, environ)
    endpoint: IStreamClientEndpoint
    if proxy is None:
        endpoint = HostnameEndpoint(reactor, host, port, CONNECT_TIMEOUT)
    else:
        to_proxy = HostnameEndpoint(reactor, str(proxy.hostname), proxy.port or 80, CONNECT_TIMEOUT)
        endpoint = ThroughProxy(reactor, to_proxy, connect_request(proxy, host, port))
    return wrapClientTLS(ExplainedTLS(host, ca_file), endpoint)
