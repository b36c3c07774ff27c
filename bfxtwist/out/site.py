"""The web server under the routes: twisted.web, made fit for clients that mean no good.

What Twisted does well stays: 16 KiB for a request's head, 500 headers, 400 for what is not HTTP, answers in order. Here is
what it leaves open:

- The head of a request must be complete within 10 s. Twisted's timeout starts anew with each byte, so one byte a second
  holds a connection for days (slowloris).
- No request has a body. Twisted writes one of 100,000 bytes and more, or of unknown length, into a temporary file.
- Requests are served in portions (`fairness`), and none while the client has not read its earlier answers.
- Connections are bounded. The one that has gone longest without completing a request makes room for the next.
- Who may ask is the `guard`'s decision. No Server header, no access log, no HTTP/2.

A resource that streams has more to do: there is no timeout while an answer runs, and the kernel takes up to 4 MiB for each
client that does not read. It sets SO_SNDBUF to 64 KiB on its socket, registers a producer and gives up on a client that has
been paused for seconds (with that, 300 clients that never read cost 3 MiB instead of 470).
"""

import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableDescriptor, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import IResource

from bfxtwist.out.fairness import PORTION, Turns
from bfxtwist.out.guard import SECURITY_HEADERS, Guard
from bfxtwist.out.problems import MEDIA_TYPE, RETRY_AFTER, Problem, not_allowed, title_of

#: After an answer that ends a connection, what still comes is read and thrown away for this long (s) and this much: a close
#: with bytes unread is a reset, and a reset can overtake the answer.
LINGER_SECONDS = 2.0
LINGER_BYTES = 256 * 1024

#: Connections beyond the bound that are told so; further ones are closed without a word.
_TURNED_AWAY = 64

_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(/.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all of them together, may take."""

    head_seconds: float = 10  # from the first byte of a request to the end of its headers
    idle_seconds: float = 30  # between requests, and for reading what was answered
    connections: int = 1000
    requests_per_turn: int = PORTION


class Phase(Enum):
    """What a connection is waiting for."""

    IDLE = auto()  # a request
    READING = auto()  # the rest of a request's head
    UNREAD = auto()  # the client, to read what was answered, before its next request is served
    QUEUED = auto()  # a turn of the reactor in which its request is served
    SERVING = auto()  # the end of the answer
    LEAVING = auto()  # the client, to see that it is over
    CLOSED = auto()  # nothing: the connection is gone, or is somebody else's


class Request(server.Request):
    """A request that has passed the guard before any resource sees it."""

    def gotLength(self, length: int | None) -> None:
        """A request has no body: the channel has refused those that do."""
        self.content = BytesIO()

    def process(self) -> None:
        """Find the resource and let it answer, if the guard agrees."""
        self.site: Site = self.channel.site  # type: ignore[attr-defined]  # a Channel's
        for name, value in SECURITY_HEADERS.items():
            self.setHeader(name, value)
        self.setHeader(b"Date", http.datetimeToString())
        self._take_absolute_form()
        preflight = self.site.guard.tell_origins(self)
        problem = self._malformed() or (None if preflight else self.site.guard.refusal(self))
        if problem is not None:
            self._finish_with(problem)
        elif preflight or (self.path == b"*" and self.method == b"OPTIONS"):
            self.setResponseCode(http.NO_CONTENT)
            self.finish()
        else:
            self._serve()

    def _take_absolute_form(self) -> None:
        """`GET http://localhost:8080/book`, as to a proxy, must be understood (RFC 9112, section 3.2.2).

        So must a request of HTTP/1.0 without a Host. No web page can send one.
        """
        if absolute := _ABSOLUTE.fullmatch(self.path):
            self.requestHeaders.setRawHeaders(b"Host", [absolute[1]])
            self.path = absolute[2] or b"/"
        elif self.clientproto == b"HTTP/1.0" and not self.requestHeaders.hasHeader(b"Host"):
            self.requestHeaders.setRawHeaders(b"Host", [b"localhost"])

    def _malformed(self) -> Problem | None:
        if self.path == b"*":
            return None if self.method == b"OPTIONS" else not_allowed(self.method.decode(), "OPTIONS")
        if not self.method.isupper():  # methods are case-sensitive, but Klein's router takes `get` for GET
            return Problem(501, "there is no such method: methods are written in capitals")
        if not self.path.startswith(b"/"):
            return Problem(400, "the target of the request does not begin with a slash")
        try:
            unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            return Problem(400, "the path is not UTF-8")
        return Problem(404, "the path has an empty part") if b"//" in self.path else None

    def _serve(self) -> None:
        self.prepath: list[bytes] = []
        self.postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
        try:
            self.render(self.site.getResourceFor(self))
        except Exception:  # noqa: BLE001 - the boundary: a bug in a resource is logged and answered 500, and the server goes on
            self.processingFailed(Failure())

    def processingFailed(self, reason: Failure) -> Failure:
        """A bug: logged, and answered without a word of what it was."""
        self._log.failure("{method} {path} failed", reason, method=self.method, path=self.path)
        if self.startedWriting:
            self.channel.loseConnection()  # half an answer cannot be taken back, only cut
        else:
            self._finish_with(Problem(500, "this is a fault of the server, and is in its log"))
        return reason

    def _finish_with(self, problem: Problem) -> None:
        self.write(problem.answer(self))
        self.finish()


class Channel(http.HTTPChannel):
    """One connection, from its accept to its end, with the bounds that the head of this file names."""

    site: "Site"
    transport: Any
    _networkProducer: Any  # the transport as something that can be paused
    turned_away = False  # whether there is room for it only to be told that there is none

    def __init__(self) -> None:
        super().__init__()
        self.phase = Phase.IDLE
        self._deadline: IDelayedCall | None = None
        self._unread = False  # whether the transport holds more than the client takes
        self._discarded = 0

    def connectionMade(self) -> None:
        """Wait for a request, or say that there is no room."""
        super().connectionMade()
        if self.turned_away:
            self.refuse(Problem(503, "too many connections", headers={"Retry-After": str(RETRY_AFTER)}))
        else:
            self.site.waits(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of one or more requests."""
        if self.phase is Phase.LEAVING:
            self._discard(data)
            return
        if self.phase in (Phase.UNREAD, Phase.QUEUED):
            self._networkProducer.pauseProducing()  # one segment ahead is enough
        elif data and self.phase is Phase.IDLE:
            self.phase = Phase.READING
        super().dataReceived(data)
        if self.phase is Phase.READING and self._deadline is None:
            self._deadline = self.callLater(self.site.limits.head_seconds, self._too_slow)

    def lineReceived(self, line: bytes) -> None:
        """A line of a request's head."""
        if self.phase is Phase.IDLE:
            self.phase = Phase.READING
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Twisted would close without an answer."""
        self.refuse(Problem(431, f"a line of the request is longer than {self.MAX_LENGTH} bytes"))

    def allHeadersReceived(self) -> None:
        """Go on only if no body follows. One is refused before a byte of it is kept."""
        if self.length == 0:
            super().allHeadersReceived()
        else:
            self.refuse(Problem(413, "requests have no body here"))

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(Problem(400, "this is not a request of HTTP/1.1"))

    def allContentReceived(self) -> None:
        """A request is complete. Serve it now, or keep it and what follows for later."""
        if self._over:
            return
        self._stop_deadline()
        self.site.is_served(self)
        if self._must_wait():
            self.paused = True  # LineReceiver looks no further into what it has
        else:
            self._serve()

    def _must_wait(self) -> bool:
        if self._unread:
            self.phase = Phase.UNREAD
        elif not self.site.turns.admit(self._serve_later):
            self.phase = Phase.QUEUED
        else:
            return False
        return True

    def _serve_later(self) -> None:
        if self.phase not in (Phase.UNREAD, Phase.QUEUED):
            return  # it has gone meanwhile
        self.paused = False
        self._networkProducer.resumeProducing()
        self._serve()
        if not self._over:
            self.dataReceived(b"")  # what has come meanwhile

    def _serve(self) -> None:
        self.phase = Phase.SERVING
        super().allContentReceived()
        if self.transport is None:  # a WebSocket has taken it over (autobahn.twisted.resource)
            if getattr(self._networkProducer, "producer", None) is self:
                self._networkProducer.unregisterProducer()
            self._end()

    def requestDone(self, request: http.Request) -> None:
        """An answer is complete. What was pipelined behind its request comes next."""
        if self._over:
            self.requests.remove(request)
            return
        self.phase = Phase.IDLE
        self.site.waits(self)
        if not self.persistent:  # Twisted has no timeout from here on, and the client may never read
            self._deadline = self.callLater(self.site.limits.idle_seconds, self.transport.abortConnection)
        super().requestDone(request)

    @property
    def _over(self) -> bool:
        return self.phase in (Phase.LEAVING, Phase.CLOSED)

    def pauseProducing(self) -> None:
        """The transport has more to write than the client takes."""
        self._unread = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read what was answered."""
        self._unread = False
        super().resumeProducing()
        if self.phase is Phase.UNREAD and not self._must_wait():
            self._serve_later()

    def _too_slow(self) -> None:
        self._deadline = None
        self.refuse(Problem(408, f"the head of the request was not complete in {self.site.limits.head_seconds:g} s"))

    def timeoutConnection(self) -> None:
        """Idle, or not reading. Twisted would log each one: a thousand lines from a thousand such clients."""
        self.leave()

    def refuse(self, problem: Problem) -> None:
        """Answer with `problem`, whatever else the client wanted to send, and end the connection."""
        self.site.answered[problem.status] += 1
        self.transport.write(_response(problem))
        self.leave()

    def leave(self) -> None:
        """End the connection when what was answered is on its way, and anyway if the client does not take it in time."""
        self.phase = Phase.LEAVING
        self._stop_deadline()
        self.setTimeout(None)
        self.clearLineBuffer()
        self._deadline = self.callLater(LINGER_SECONDS, self.transport.abortConnection)
        half_closes: bool = IHalfCloseableDescriptor.providedBy(self.transport)
        if half_closes and not self.isSecure():
            self._networkProducer.unregisterProducer()  # while one is paused, a socket does not half-close
            self.transport.loseWriteConnection()
        else:
            self.loseConnection()

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._end()
        super().connectionLost(reason)

    def _end(self) -> None:
        self.phase = Phase.CLOSED
        self._stop_deadline()
        self.site.is_gone(self)

    def _stop_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


def _response(problem: Problem) -> bytes:
    """A whole response, for when there is no request to answer."""
    body = problem.document()
    headers = {
        **SECURITY_HEADERS,
        b"Content-Type": MEDIA_TYPE,
        b"Content-Length": b"%d" % len(body),
        b"Connection": b"close",
        **{name.encode(): value.encode() for name, value in problem.headers.items()},
    }
    lines = [b"HTTP/1.1 %d %b" % (problem.status, title_of(problem.status).encode())]
    lines += [b"%b: %b" % header for header in headers.items()]
    return b"\r\n".join([*lines, b"", body])


class Site(server.Site):
    """All connections."""

    noisy = False
    requestFactory = Request
    protocol = Channel  # type: ignore[assignment]  # without the layer that chooses between HTTP/1.1 and 2

    def __init__(self, resource: IResource, reactor: IReactorTime, guard: Guard, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        super().__init__(resource, reactor=reactor, timeout=self.limits.idle_seconds, parsePOSTFormSubmission=False)
        self.guard = guard
        self.turns = Turns(reactor, self.limits.requests_per_turn)
        self.answered: Counter[int] = Counter()  # by status
        self._open: dict[Channel, None] = {}
        self._waiting: dict[Channel, None] = {}  # for a request, since it came or since its last answer: longest first
        self._empty: Deferred[None] | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def buildProtocol(self, addr: IAddress | None) -> Channel | None:  # type: ignore[override]
        """A channel for a new connection, or None to close it."""
        if len(self._open) >= self.limits.connections:
            self._make_room()
        full = len(self._open) >= self.limits.connections
        if len(self._open) >= self.limits.connections + _TURNED_AWAY:
            return None
        channel: Channel = super().buildProtocol(addr)
        channel.turned_away = full
        self._open[channel] = None
        return channel

    def _make_room(self) -> None:
        longest = next(iter(self._waiting), None)
        if longest is not None:
            self.is_gone(longest)
            longest.transport.abortConnection()

    def waits(self, channel: Channel) -> None:
        """The channel waits for a request from now on."""
        self._waiting[channel] = None

    def is_served(self, channel: Channel) -> None:
        """The channel has a request."""
        self._waiting.pop(channel, None)

    def is_gone(self, channel: Channel) -> None:
        """The channel is closed, or is to be counted by somebody else."""
        self._open.pop(channel, None)
        self._waiting.pop(channel, None)
        if not self._open and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def close_connections(self) -> Deferred[None]:
        """End all connections. What has been answered is still sent; fires when they are gone, within seconds."""
        for channel in list(self._open):
            if channel.phase is not Phase.LEAVING:
                channel.leave()
        if not self._open:
            return succeed(None)
        self._empty = self._empty or Deferred()
        return self._empty

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 alone: nothing here was made for HTTP/2, even where the `h2` package is installed."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """No access log: it costs a third of the throughput, and would say 1970 where the reactor's clock is monotonic."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def log(self, request: http.Request) -> None:
        """Count instead of writing a line."""
        self.answered[request.code] += 1


