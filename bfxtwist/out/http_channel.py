"""One connection: HTTP/1.1 by twisted.web, made fit for clients that mean no good.

What Twisted does well stays: 16 KiB for a request's head, 500 headers, 400 for what is not HTTP, answers in order. Here is
what it leaves open:

- The head of a request must be complete within 10 s. Twisted's timeout starts anew with each byte, so one byte a second
  holds a connection for days (slowloris).
- No request has a body. Twisted writes one of 100,000 bytes and more, or of unknown length, into a temporary file.
- Requests are served in portions (`fairness`), and none while the client has not read its earlier answers.

A resource that streams has more to do: there is no timeout while an answer runs, and the kernel takes up to 4 MiB for each
client that does not read. It sets SO_SNDBUF to 64 KiB on its socket, registers a producer and gives up on a client that has
been paused for seconds (with that, 300 clients that never read cost 3 MiB instead of 470).
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableDescriptor
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http_headers import Headers

from bfxtwist.out.fairness import PORTION
from bfxtwist.out.guard import SECURITY_HEADERS
from bfxtwist.out.problems import MEDIA_TYPE, RETRY_AFTER, Problem, title_of
from bfxtwist.out.request import Request, head_of
from bfxtwist.out.routes import Answer

if TYPE_CHECKING:
    from bfxtwist.out.site import Site

#: After an answer that ends a connection, what still comes is read and thrown away for this long (s) and this much: a close
#: with bytes unread is a reset, and a reset can overtake the answer.
LINGER_SECONDS = 2.0
LINGER_BYTES = 256 * 1024

#: How a client begins that was given https:// by mistake. There may be no end of a line in it, and it would wait for 10 s.
_TLS = b"\x16\x03"


@dataclass(frozen=True, slots=True)
class HttpLimits:
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


class HttpChannel(http.HTTPChannel):
    """One connection, from its accept to its end, with the bounds that the head of this file names."""

    site: "Site"
    transport: Any
    _networkProducer: Any  # the transport as something that can be paused
    turned_away = False  # whether there is room for it only to be told that there is none

    def __init__(self) -> None:
        super().__init__()
        self.phase = Phase.IDLE
        self._deadline: IDelayedCall | None = None
        self._host: IAddress | None = None
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
            if data.startswith(_TLS):
                self.refuse(Problem(400, "this is plain HTTP, not HTTPS"))
                return
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
        if self._receivedHeaderSize > self.totalHeadersSize:
            self.refuse(Problem(431, f"the head of the request is longer than {self.totalHeadersSize} bytes"))
        elif self._receivedHeaderCount > self.maxHeaders:
            self.refuse(Problem(431, f"the request has more than {self.maxHeaders} headers"))
        else:
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

    def answered_by(self, request: Request, answer: Answer) -> None:
        """A request is answered at once, and how."""

    def forget(self) -> None:
        """What the guard has let pass before is to be shown to it again."""

    def getHost(self) -> IAddress:
        """The address that the client has connected to. Twisted asks the kernel for each request."""
        if self._host is None:
            self._host = self.transport.getHost()
        return self._host

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """The head of an answer."""
        self.transport.write(head_of(version, int(code), reason, headers))

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
