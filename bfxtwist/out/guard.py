"""Who may ask: which names this server answers to, which web pages may read it, and the bearer token.

The daemon listens on loopback, where every web page that its owner opens can send it requests. A page of a stranger reads no
answer unless its origin is allowed (CORS), and cannot make itself the same origin by a DNS name that it points to 127.0.0.1,
since that name is not among ours (DNS rebinding).
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from twisted.web.iweb import IRequest

from bfxtwist.out.problems import Problem

#: What this machine calls itself.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

#: What answers without a token: it tells that the process lives, and nothing else.
OPEN_PATHS = frozenset({b"/livez"})

#: On every answer. A page sets a Content-Security-Policy of its own.
SECURITY_HEADERS = {
    b"X-Content-Type-Options": b"nosniff",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Referrer-Policy": b"no-referrer",
    b"Cache-Control": b"no-store",
    b"Content-Security-Policy": b"default-src 'none'; frame-ancestors 'none'",
}

#: For pages: their own files only, nothing inline, and nobody's frame.
PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?")

#: What a web page may ask for and read, besides what it always may.
_PREFLIGHT = {
    b"Access-Control-Allow-Methods": b"GET, HEAD",
    b"Access-Control-Allow-Headers": b"Authorization, If-None-Match",
    b"Access-Control-Max-Age": b"600",
}


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may ask. Make it with `guard`, which checks."""

    names: frozenset[str] = LOOPBACK
    origins: frozenset[str] = frozenset()
    token: bytes | None = None

    def refusal(self, request: IRequest) -> Problem | None:
        """Why this request is not served, or None if it is."""
        return self._wrong_host(request) or self._stranger(request) or self._no_token(request)

    def _wrong_host(self, request: IRequest) -> Problem | None:
        hosts = request.requestHeaders.getRawHeaders(b"Host", ())
        match = _HOST.fullmatch(hosts[0].decode("latin-1")) if len(hosts) == 1 else None
        if match is None:
            return Problem(400, "the Host header is missing, repeated or malformed")
        name = (match["v6"] or match["name"]).lower().removesuffix(".")
        # The address that the connection came to cannot be a stranger's DNS name.
        if name in self.names or name == getattr(request.getHost(), "host", None):
            return None
        return Problem(421, f"this server does not answer to the name {name}: add --allow-host {name}")

    def _stranger(self, request: IRequest) -> Problem | None:
        """A WebSocket is not subject to CORS: a page of any origin may open one, so its origin is checked here."""
        origin = request.getHeader("Origin")
        if origin is None or request.getHeader("Upgrade") is None or origin in self.origins:
            return None
        if urlsplit(origin).netloc.lower() == (request.getHeader("Host") or "").lower():
            return None
        return Problem(403, "web pages of this origin may not connect: add it with --allow-origin")

    def _no_token(self, request: IRequest) -> Problem | None:
        if self.token is None or request.path in OPEN_PATHS:
            return None
        given = (request.getHeader(b"Authorization") or b"").split(b" ", 1)
        if given[0].lower() == b"bearer" and hmac.compare_digest(given[-1].strip(), self.token):
            return None
        challenge = {"WWW-Authenticate": 'Bearer realm="bfxtwist"'}
        return Problem(401, "send the token: Authorization: Bearer ...", headers=challenge)

    def tell_origins(self, request: IRequest) -> bool:
        """Let the page that asks read the answer if its origin is allowed. Whether this is a preflight of it: answer 204."""
        if not self.origins:
            return False
        request.responseHeaders.addRawHeader(b"Vary", b"Origin")
        origin = request.getHeader("Origin")
        if origin not in self.origins:
            return False
        request.setHeader(b"Access-Control-Allow-Origin", origin)
        request.setHeader(b"Access-Control-Expose-Headers", b"ETag, Retry-After")
        if request.method != b"OPTIONS" or request.getHeader("Access-Control-Request-Method") is None:
            return False
        for name, value in _PREFLIGHT.items():
            request.setHeader(name, value)
        return True


def guard(names: Iterable[str] = (), origins: Iterable[str] = (), token: bytes | None = None) -> Guard:
    """The guard of a server that is called `names` besides what it always is. Raises ValueError with the fix."""
    allowed = {_checked_name(name) for name in names}
    return Guard(LOOPBACK | allowed, frozenset(map(_checked_origin, origins)), token)


def _checked_name(name: str) -> str:
    bare = name.strip().lower().removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        return str(ip_address(bare))
    except ValueError:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", bare):
            raise ValueError(f"--allow-host {name!r} is not a host name: write it like book.example.org") from None
        return bare


def _checked_origin(origin: str) -> str:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc.lower()}" != origin or not parts.hostname:
        raise ValueError(f"--allow-origin {origin!r} is not an origin: write it like https://book.example.org:8443")
    return origin
