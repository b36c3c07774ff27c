"""How REST answers on a bad day."""

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.server import Request

from bfxtwist.exchange.entrance import FRONT_PAGE, FRONT_TYPE, transport_of
from bfxtwist.exchange.faults import Faults
from bfxtwist.exchange.replies import reply

#: Both have been seen (ccxt #6384, #5621); there is no Retry-After with either.
_TOO_MANY = {"a": b'["error",11010,"ratelimit: error"]', "b": b'{"error":"ERR_RATE_LIMIT"}'}


class BadAnswers:
    """What the faults that are on put in the place of an answer."""

    def __init__(self, faults: Faults, clock: IReactorTime) -> None:
        self._faults = faults
        self._clock = clock

    def too_many(self, request: Request, body: str) -> bytes:
        """The rate limit's answer."""
        return reply(request, 429, _TOO_MANY[body])

    def instead(self, request: Request, status: int, answer: bytes) -> Deferred[bytes] | bytes | None:
        """What is sent instead of `answer`, or None if that may go."""
        faults = self._faults
        if (body := faults.word("rest-429")) is not None:
            return self.too_many(request, body)
        if (code := faults.word("rest-html")) is not None:
            return reply(request, int(code), FRONT_PAGE % code.encode(), FRONT_TYPE)
        if "rest-10020" in faults:
            return reply(request, 500, b'["error",10020,"limit: invalid"]')
        if "rest-redirect" in faults:
            request.setHeader(b"location", b"/v2/elsewhere")
            return reply(request, 302, b"")
        if "rest-cut" in faults:
            return _cut(request, answer)
        if (where := faults.word("rest-stall")) is not None:
            return _stall(request, answer if where == "body" else None)
        if "rest-slow" in faults:
            return deferLater(self._clock, faults.number("rest-slow"), reply, request, status, answer)
        return None


def _stall(request: Request, answer: bytes | None) -> Deferred[bytes]:
    """Half of the answer, if there is one, and then nothing until the client has had enough."""
    if answer is not None:
        reply(request, 200, answer)
        request.write(answer[: len(answer) // 2])
    return Deferred()


def _cut(request: Request, answer: bytes) -> Deferred[bytes]:
    """Half of a body that ends where the connection does: whoever takes it for whole has half a page."""
    transport = transport_of(request)
    transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    transport.write(answer[: len(answer) // 2])
    transport.loseConnection()
    return Deferred()
