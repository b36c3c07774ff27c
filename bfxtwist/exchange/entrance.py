"""The WebSocket's door in an HTTP site: lets a request through to Autobahn, or turns it away as the exchange does.

With a fault set, it answers as the exchange's front does on a bad day: with another status, a page, garbage, or not at all.
"""

from http import HTTPStatus

from autobahn.twisted.resource import WebSocketResource
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.task import LoopingCall
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from bfxtwist.exchange.faults import Faults
from bfxtwist.exchange.rates import RateLimit
from bfxtwist.exchange.server import ServerFactory

#: A page as the exchange's front shows one.
FRONT_PAGE = b"<!DOCTYPE html>\n<html><head><title>%b | api-pub.bitfinex.com</title></head><body>cloudflare</body></html>\n"
FRONT_TYPE = b"text/html; charset=UTF-8"

_UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

#: What is sent for the faults that are no HTTP answer at all.
_BYTES = {
    "garbage": b"\x16\x03\x01 this is not HTTP\r\n\x00\xff\r\n\r\n",
    "not-utf8": _UPGRADE + b"X-Front: \xff\xfe\r\nSec-WebSocket-Accept: \xff\r\n\r\n",
    "wrong-accept": _UPGRADE + b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
}


class Entrance(Resource):
    """Where a WebSocket begins."""

    isLeaf = True

    def __init__(self, factory: ServerFactory, faults: Faults, clock: IReactorTime, per_minute: int | None) -> None:
        super().__init__()
        self._upgrade = WebSocketResource(factory)
        self._faults = faults
        self._clock = clock
        self.connects = RateLimit(per_minute)
        self._drips: set[LoopingCall] = set()

    def render(self, request: Request) -> bytes | int:
        """Upgrade the connection, or not."""
        kind = self._faults.word("handshake")
        # Who is turned away has come all the same.
        if not self.connects.admit(self._clock.seconds()):
            kind = "429"
        if kind is None:
            result: bytes | int = self._upgrade.render(request)
            return result
        if kind.isdecimal():
            return self._refuse(request, int(kind))
        return self._misbehave(request, kind)

    def close(self) -> None:
        """The exchange closes: nothing drips any more."""
        for drip in list(self._drips):
            self._dry_up(drip)

    def _refuse(self, request: Request, code: int) -> bytes:
        request.setResponseCode(code, HTTPStatus(code).phrase.encode())  # of 429 Twisted does not know the words
        request.setHeader(b"content-type", FRONT_TYPE)
        if code == 301:
            request.setHeader(b"location", b"/elsewhere")
        return FRONT_PAGE % str(code).encode()

    def _misbehave(self, request: Request, kind: str) -> bytes | int:
        if kind == "html":
            request.setHeader(b"content-type", FRONT_TYPE)
            return FRONT_PAGE % b"Just a moment"
        transport = transport_of(request)
        if kind in _BYTES:
            transport.write(_BYTES[kind])
            transport.loseConnection()
        elif kind == "drop":
            transport.loseConnection()
        elif kind == "drip":
            self._drip(request, list(_UPGRADE.splitlines(keepends=True)))
        elif kind == "endless":
            self._drip(request, None)
        return NOT_DONE_YET  # and of "hang", nothing more

    def _drip(self, request: Request, lines: list[bytes] | None) -> None:
        """A line a second: of these, and then no more; or 16 KiB at a time, for as long as the client takes it."""
        transport = transport_of(request)
        if lines is None:
            transport.write(_UPGRADE)

        def write() -> None:
            if lines is None:
                transport.write(b"X-Filler: " + b"x" * 16384 + b"\r\n")
            elif lines:
                transport.write(lines.pop(0))

        drip = LoopingCall(write)
        drip.clock = self._clock
        self._drips.add(drip)
        request.notifyFinish().addErrback(lambda _gone: self._dry_up(drip))
        drip.start(1.0 if lines is not None else 0.01)

    def _dry_up(self, drip: LoopingCall) -> None:
        self._drips.discard(drip)
        if drip.running:
            drip.stop()


def transport_of(request: HttpRequest) -> ITransport:
    """The connection under a request, for what no HTTP answer can say."""
    transport = request.channel.transport
    assert transport is not None  # it is open: a request came over it
    return transport
