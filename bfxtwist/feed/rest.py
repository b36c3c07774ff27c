"""One GET over REST, with an end to everything: time, size, redirects.

treq's own timeout ends when the headers arrive, and a body that stalls after them hangs for ever; so the time here is for
the whole answer. A body that grows beyond its limit, unpacked too, ends the connection: see `AsSent`.
"""

import zlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from bfxtwist.core.errors import excerpt
from bfxtwist.feed.retry_after import seconds_in
from bfxtwist.feed.tls import TLS_ERRORS, explain

#: For the whole answer, in seconds and in bytes. 10,000 trades are some 600 kB.
TIMEOUT = 30.0
LARGEST = 4 * 1024 * 1024

#: Another name of gzip (RFC 9110, 8.4.1.3).
_GZIP = b"x-gzip"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS

#: Cloudflare, which the exchange stands behind, challenges who says nothing of himself: its "Browser Integrity Check", which
#: is on unless it is turned off. Neither treq nor Twisted's agent say anything.
_OURSELVES = {"User-Agent": "bfxtwist"}

#: What connecting, DNS, TLS, HTTP and unpacking fail with; ValueError is an answer's that is not HTTP.
_FAILURES = (OSError, ConnectError, ConnectionClosed, RequestTransmissionFailed, ResponseFailed, ValueError)


class RequestFailed(Exception):
    """There is no answer: nobody there, too late, too long, or cut off."""


class Answer(NamedTuple):
    """What a server answered. `date` is its clock, ms since the epoch, `retry_after` in seconds."""

    status: int
    body: bytes
    date: int | None
    retry_after: float | None


@implementer(IAgent)
class AsSent:
    """An agent for treq that leaves the unpacking to `get`.

    treq unpacks gzip by the name of `gzip`, all that was read at once and as often as it is named: 64 KB may become 67 MB,
    and 67 GB where they were packed twice (treq 26.7, Twisted 26.10).
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> "Deferred[IResponse]":
        """As of any agent."""
        response: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        return response.addCallback(_by_another_name)


def _by_another_name(response: IResponse) -> IResponse:
    response.headers.setRawHeaders(b"content-encoding", [_encoding(response.headers)])
    return response


def _encoding(headers: Headers) -> bytes:
    """How a body is packed, in names that treq does not know; nothing where it is not."""
    names = [name.strip().lower() for name in b",".join(headers.getRawHeaders(b"content-encoding", [])).split(b",")]
    return b",".join(_GZIP if name == b"gzip" else name for name in names if name not in (b"", b"identity"))


async def get(
    client: Any,
    url: str,
    params: Mapping[str, str],
    clock: IReactorTime,
    *,
    timeout: float = TIMEOUT,
    largest: int = LARGEST,
) -> Answer:
    """Ask. `client` is a treq HTTPClient, or anything that has its `get`. Raises RequestFailed, or CancelledError."""
    asking = Deferred.fromCoroutine(_get(client, url, params, largest))
    asking.addTimeout(timeout, clock, _too_late)

    def stop(answer: Deferred[Answer]) -> None:
        # A look-up, a connection, a request and a body have each an error of their own for this: "not found" is a look-up's.
        answer.errback(CancelledError())
        asking.cancel()

    def tell(result: Answer | Failure) -> None:
        if not answer.called:
            answer.callback(result)

    answer: Deferred[Answer] = Deferred(stop)
    asking.addBoth(tell)
    try:
        return await answer
    except _FAILURES as error:
        raise RequestFailed(_text(error)) from error


def _too_late(_: object, timeout: float) -> NoReturn:
    """In the place of the error that the cancelling left: that of a look-up, a connection, a request or a body."""
    raise RequestFailed(f"no whole answer within {timeout:.0f} s")


async def _get(client: Any, url: str, params: Mapping[str, str], largest: int) -> Answer:
    response = await client.get(url, params=dict(params), headers=_OURSELVES, allow_redirects=False, unbuffered=True)
    headers = response.headers
    body = _Body(largest, _encoding(headers))
    response.deliverBody(body)
    date, retry_after = _date(headers.getRawHeaders("date")), headers.getRawHeaders("retry-after", [None])[0]
    return Answer(response.code, await body.whole, date, seconds_in(retry_after))


class _Body(Protocol):
    """Collects a body up to a limit."""

    def __init__(self, largest: int, encoding: bytes) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._end())
        self._largest = largest
        self._encoding = encoding
        self._unpacker = zlib.decompressobj(_GZIP_WINDOW) if encoding == _GZIP else None
        self._pieces: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        if self.whole.called:
            return
        if self._encoding not in (b"", _GZIP):
            self._fail(f"packed in a way that was not asked for: {excerpt(self._encoding)}")
            return
        try:
            # One byte more than there may be shows that there are too many.
            plain = self._unpacker.decompress(data, self._largest - self._size + 1) if self._unpacker else data
        except zlib.error as error:
            self._fail(f"it cannot be unpacked: {error}")
            return
        if self._unpacker and self._unpacker.unused_data:  # of which zlib would make a copy with each piece that comes
            self._fail("it goes on after the end of what is packed")
            return
        self._size += len(plain)
        self._pieces.append(plain)
        if self._size > self._largest:
            self._fail(f"more than {self._largest} bytes")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # A plain body without a length that is cut cannot be told from a whole one; what is in it will not parse.
        if not reason.check(ResponseDone, PotentialDataLoss):
            self._fail(f"cut off: {_text(reason)}")
        elif self._unpacker and self._pieces and not self._unpacker.eof:
            self._fail("cut off: it cannot be unpacked to its end")
        else:
            self.whole.callback(b"".join(self._pieces))

    def _fail(self, why: str) -> None:
        self.whole.errback(RequestFailed(why))
        self._end()

    def _end(self) -> None:
        self._pieces.clear()
        if self.transport is not None:
            self.transport.loseConnection()


def _date(values: list[str] | None) -> int | None:
    try:
        return int(parsedate_to_datetime(values[0]).timestamp() * 1000) if values else None
    except (ValueError, OverflowError):
        return None


def _text(error: object) -> str:
    """What went wrong, of twisted.web's failures within failures too."""
    if isinstance(error, Failure):
        return _text(error.value)
    reasons = getattr(error, "reasons", None)
    if reasons:
        return "; ".join(map(_text, reasons))
    if isinstance(error, TLS_ERRORS):
        return explain(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
