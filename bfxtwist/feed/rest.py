"""One GET over REST, with an end to everything: time, size, redirects.

treq's own timeout ends when the headers arrive, and a body that stalls after them hangs for ever; so the time here is for
the whole answer. A body that grows beyond its limit, unpacked too, ends the connection.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionClosed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from bfxtwist.feed.retry_after import seconds_in

#: For the whole answer, in seconds and in bytes. 10,000 trades are some 600 kB.
TIMEOUT = 30.0
LARGEST = 4 * 1024 * 1024

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


async def get(
    client: Any,
    url: str,
    params: Mapping[str, str],
    clock: IReactorTime,
    *,
    timeout: float = TIMEOUT,
    largest: int = LARGEST,
) -> Answer:
    """Ask. `client` is a treq HTTPClient, or anything that has its `get`. Raises RequestFailed; CancelledError if it is."""
    asking = Deferred.fromCoroutine(_get(client, url, params, largest))
    asking.addTimeout(timeout, clock, _too_late)
    try:
        return await asking
    except (ConnectingCancelledError, *_FAILURES) as error:
        if _is_cancelled(error):
            raise CancelledError from None
        raise RequestFailed(_text(error)) from error


def _is_cancelled(error: BaseException) -> bool:
    """Endpoints and requests that are cancelled have words of their own for it."""
    reasons = getattr(error, "reasons", ())
    return isinstance(error, ConnectingCancelledError) or any(reason.check(CancelledError) for reason in reasons)


def _too_late(_: object, timeout: float) -> NoReturn:
    """What the cancelling left behind is an error of whatever was being done: a name, a connection, a request, a body."""
    raise RequestFailed(f"no whole answer within {timeout:.0f} s")


async def _get(client: Any, url: str, params: Mapping[str, str], largest: int) -> Answer:
    response = await client.get(url, params=dict(params), allow_redirects=False, unbuffered=True)
    body = _Body(largest)
    response.deliverBody(body)
    headers = response.headers
    date, retry_after = _date(headers.getRawHeaders("date")), headers.getRawHeaders("retry-after", [None])[0]
    return Answer(response.code, await body.whole, date, seconds_in(retry_after))


class _Body(Protocol):
    """Collects a body up to a limit."""

    def __init__(self, largest: int) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._end())
        self._largest = largest
        self._pieces: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        self._pieces.append(data)
        if self._size > self._largest and not self.whole.called:
            self.whole.errback(RequestFailed(f"more than {self._largest} bytes"))
            self._end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # A body without a length that is cut cannot be told from a whole one; what is in it will not parse.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._pieces))
        else:
            self.whole.errback(RequestFailed(f"cut off: {reason.getErrorMessage()}"))

    def _end(self) -> None:
        self._pieces.clear()
        if self.transport is not None:
            self.transport.loseConnection()


def _date(values: list[str] | None) -> int | None:
    try:
        return int(parsedate_to_datetime(values[0]).timestamp() * 1000) if values else None
    except (ValueError, OverflowError):
        return None


def _text(error: BaseException) -> str:
    """What went wrong, of twisted.web's failures within failures too."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        return "; ".join(_text(reason.value) for reason in reasons)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
