"""Who may ask: which names this server answers to, which web pages may read it, and the token.

The daemon listens on loopback, where every web page that its owner opens can send it requests. A page of a stranger reads no
answer unless its origin is allowed (CORS), and cannot make itself the same origin by a DNS name that it points to 127.0.0.1,
since that name is not among ours (DNS rebinding).

The token comes as a bearer (RFC 6750) or as the password of Basic (RFC 7617), which browsers ask their users for. From then
on a browser adds it to every request to this server, whoever's page makes it. So Basic counts only from our own page, from
a link or the address bar, and from programs, which say nothing of where they come from.
"""

import hmac
import re
from base64 import b64decode
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

#: What a request without the token is asked for: by programs, and by browsers of their users.
_CHALLENGES = ['Bearer realm="bfxtwist"', 'Basic realm="bfxtwist", charset="UTF-8"']


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
        if name in self.names or name in _addresses(request):
            return None
        return Problem(421, f"this server does not answer to the name {name}: add --allow-host {name}")

    def _stranger(self, request: IRequest) -> Problem | None:
        """A WebSocket is not subject to CORS: a page of any origin may open one, so its origin is checked here."""
        if request.getHeader("Upgrade") is None or _has_our_origin(request) or request.getHeader("Origin") in self.origins:
            return None
        return Problem(403, "web pages of this origin may not connect: add it with --allow-origin")

    def _no_token(self, request: IRequest) -> Problem | None:
        if self.token is None or request.path in OPEN_PATHS:
            return None
        scheme, _, given = (request.getHeader(b"Authorization") or b"").partition(b" ")
        is_basic = scheme.lower() == b"basic"
        secret = _password(given) if is_basic else given.strip() if scheme.lower() == b"bearer" else b""
        if not hmac.compare_digest(secret, self.token):
            # One challenge a line: browsers read no further than to the first comma of a scheme that they do not know.
            request.responseHeaders.setRawHeaders("WWW-Authenticate", _CHALLENGES)
            return Problem(401, "send the token: Authorization: Bearer ..., or as the password of whatever user name")
        if is_basic and _is_of_another_page(request):
            # Not 401, at which a browser forgets what its user has typed in.
            return Problem(403, "web pages of another origin must send the token themselves: Authorization: Bearer ...")
        return None

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


def _addresses(request: IRequest) -> tuple[str, ...]:
    """To which the connection came, and which cannot be a stranger's DNS name. A Unix socket has none."""
    host: str = getattr(request.getHost(), "host", "")
    return (host, host.removeprefix("::ffff:")) if host else ()  # both names of it for IPv4 clients of `tcp6:`


def _has_our_origin(request: IRequest) -> bool:
    """Whether no web page asks, or one of ours."""
    origin = request.getHeader("Origin")
    return origin is None or origin.partition("://")[2].lower() == (request.getHeader("Host") or "").lower()


def _is_of_another_page(request: IRequest) -> bool:
    """Whether the page of another origin makes the request, without its reader.

    Images, scripts and the like come without an Origin; what browsers say of them besides is in W3C's Fetch Metadata, which
    they send over https and to this machine.
    """
    if not _has_our_origin(request):
        return True
    strange = request.getHeader("Sec-Fetch-Site") in ("cross-site", "same-site")
    return strange and request.getHeader("Sec-Fetch-Dest") != "document"


def _password(credentials: bytes) -> bytes:
    """Of Basic credentials (RFC 7617); nothing where they are none."""
    try:
        return b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""


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
