"""Bodies that are made once: their entity tags, their gzip form, and the answer 304 (RFC 9110).

The body of a book is the same for everybody who asks between two updates, so it is encoded, hashed and compressed once, not
per request.
"""

import gzip
import json
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec
from twisted.web.iweb import IRequest
from werkzeug.http import parse_accept_header, parse_etags

from bfxtwist.core.book_feed import BookFeed

JSON = b"application/json"

#: Below this a body fits into one packet however it is written.
GZIP_FROM = 1024

#: Of a book of 250 levels, level 1 leaves 43 % in half the time in which level 6 leaves 39 % (measured).
GZIP_LEVEL = 1

#: Bodies kept of one version of a book. More depths than that, and the reader pays for each.
_DEPTHS_KEPT = 16


def as_json(value: Any) -> bytes:
    """The JSON text of what msgspec makes JSON of."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # a file's name need not be text, and JSON is nothing else (RFC 8259, section 8.1)
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace")


class Representation(NamedTuple):
    """Bytes as they go over the wire, and their strong entity tag, quotes included."""

    data: bytes
    etag: bytes


class Body:
    """One body in its representations. They differ, so their strong tags do (RFC 9110, section 8.8.3.3)."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def _digest(self) -> bytes:
        # A hash of the content, and no version number: those begin anew with the process, and caches outlive it.
        return blake2b(self.data, digest_size=12).hexdigest().encode()

    @cached_property
    def plain(self) -> Representation:
        """As it is."""
        return Representation(self.data, b'"%b"' % self._digest)

    @cached_property
    def gzipped(self) -> Representation:
        """Compressed; the same bytes each time, since no time is written into them."""
        return Representation(gzip.compress(self.data, GZIP_LEVEL, mtime=0), b'"%b-gzip"' % self._digest)


class BookBodies:
    """The bodies of `GET /book`, each made once for as long as its book does not change."""

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[BookFeed, tuple[int, dict[int | None, Body]]] = WeakKeyDictionary()

    def get(self, feed: BookFeed, depth: int | None) -> Body:
        """The body of a book, cut to `depth` levels of each side."""
        version, bodies = self._made.get(feed, (None, {}))
        if version != feed.version or len(bodies) >= _DEPTHS_KEPT:
            bodies = {}
            self._made[feed] = feed.version, bodies
        if depth is not None and depth >= feed.book.depth:
            depth = None  # the whole book, by another name
        if depth not in bodies:
            bodies[depth] = Body(feed.document(depth))
        return bodies[depth]


def reply(request: IRequest, body: Body, *, cached: bool = False, media_type: bytes = JSON) -> bytes:
    """Set the headers for `body`, and return what is to be written: nothing if the client has it already.

    `cached`: the client may keep it and ask whether it has changed. Otherwise it keeps nothing.
    """
    data, etag = representation(request, body)
    headers = request.responseHeaders
    headers.addRawHeader(b"Vary", b"Accept-Encoding")
    headers.setRawHeaders(b"Cache-Control", [b"no-cache" if cached else b"no-store"])
    if cached:
        headers.setRawHeaders(b"ETag", [etag])
        if is_known(etag.decode(), _field(request, b"If-None-Match")):
            request.setResponseCode(304)
            return b""
    if data is not body.data:
        headers.setRawHeaders(b"Content-Encoding", [b"gzip"])
    headers.setRawHeaders(b"Content-Type", [media_type])
    headers.setRawHeaders(b"Content-Length", [b"%d" % len(data)])
    return data


def representation(request: IRequest, body: Body) -> Representation:
    """The form of `body` that the client is given, made now if it never was."""
    zipped = len(body.data) >= GZIP_FROM and accepts_gzip(_field(request, b"Accept-Encoding"))
    return body.gzipped if zipped else body.plain


def _field(request: IRequest, name: bytes) -> str:
    """The lines of a header as one list (RFC 9110, section 5.3)."""
    return ", ".join(line.decode("latin-1") for line in request.requestHeaders.getRawHeaders(name, ()))


@lru_cache(maxsize=64)  # clients say the same each time; bounded, since they need not
def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a client prefers gzip, or likes it no less, by its Accept-Encoding (RFC 9110, section 12.5.3).

    Plain text is acceptable unless it is excluded by name, so silence about it is no preference for it.
    """
    accepted = {coding.lower(): quality for coding, quality in parse_accept_header(accept_encoding)}
    zipped = next((accepted[coding] for coding in ("gzip", "x-gzip", "*") if coding in accepted), 0)
    return zipped > 0 and zipped >= accepted.get("identity", 0)


def is_known(etag: str, if_none_match: str) -> bool:
    """Whether the client has what `etag` names already, by the weak comparison (RFC 9110, section 13.1.2)."""
    if not if_none_match:
        return False
    return if_none_match == etag or parse_etags(if_none_match).contains_weak(etag.strip('"'))
