"""Frames to the session, and the session's requests to frames: the thin Autobahn protocol of one connection.

Nothing is decided here but when to drop the connection: on an ExchangeError that leaves the session, and on a bug of ours,
which is logged as one. Autobahn loses exceptions that its callbacks raise, so that none may get that far; what ended a
connection is in `ended`, and nowhere else.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import txaio
from autobahn.twisted.websocket import WebSocketClientFactory
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from bfxtwist.core.errors import ConnectionEnded, ExchangeError, HandshakeRefused, MalformedMessage
from bfxtwist.core.moment import Moment
from bfxtwist.core.session import Session
from bfxtwist.feed.endpoint import apart_from_password
from bfxtwist.feed.fast_frames import FastFrames
from bfxtwist.feed.retry_after import seconds_in

_log = Logger()

#: A snapshot of 250 levels has 10 KB; Autobahn's own default is no limit at all.
LONGEST_MESSAGE = 1 << 20

#: No server's handshake needs more; Autobahn would gather a header for as long as it comes.
LONGEST_HEADER = 16 * 1024

#: Seconds. Autobahn rounds its timers down to whole ones, so that the handshake has one more than is meant.
HANDSHAKE_TIMEOUT = 10 + 1
PING_EVERY = 10
PONG_TIMEOUT = 10

#: How long the exchange may take to answer a close, or to hang up after its own, in seconds.
CLOSE_TIMEOUT = 2.0

#: What Autobahn puts before the reason, in the first person.
_AUTOBAHN_SAYS = "I dropped the WebSocket TCP connection: "


class _Silence:
    """In the place of Autobahn's log: it tells of each drop twice, without the cause that `Connection` tells in one line."""

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


@implementer(IPushProducer)
class _Unread:
    """Hears from the transport when the exchange does not read what we send: it can ask for any number of pongs."""

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._fail = fail

    def pauseProducing(self) -> None:
        """64 KB wait, and what the kernel takes. What we say in an hour is less."""
        self._fail(ConnectionEnded("the exchange does not read what it is answered"))

    def resumeProducing(self) -> None:
        """It is over by then."""

    stopProducing = resumeProducing


BeginSession = Callable[[Callable[[bytes], None]], Session]


class FeedProtocol(FastFrames):
    """One connection.

    `opened` fires when the WebSocket is open and fails with what came instead: HandshakeRefused, ConnectionEnded, or the
    transport's own error. `ended` fires, always and never with a failure, with the error that ended the connection.
    """

    log = _Silence()

    def __init__(self, begin: BeginSession, clock: IReactorTime, moment: Callable[[], Moment]) -> None:
        super().__init__()
        self.opened: Deferred[None] = Deferred()
        self.ended: Deferred[Exception] = Deferred()
        self.session: Session | None = None
        self._begin = begin
        self._clock = clock
        self._moment = moment
        self._cause: Exception | None = None
        self._goodbye = ""  # the exchange's

    # --- Autobahn and the transport call ----------------------------------------------------------------------

    def onOpen(self) -> None:
        """The handshake is done."""
        self.transport.registerProducer(_Unread(self.fail), streaming=True)
        self.do(self._begin_session)
        self.opened.callback(None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A message that is long, or not plain; the exchange speaks in text only."""
        if isBinary:
            self.fail(MalformedMessage("a binary frame", payload))
        else:
            self.payloads_received([payload])

    def payloads_received(self, payloads: Sequence[bytes]) -> None:
        """Messages that came together."""
        assert self.session is not None  # there are no messages before onOpen
        moment = self._moment()
        try:
            self.session.received(payloads, moment)
        except Exception as error:  # noqa: BLE001 - Autobahn would lose it; `fail` logs what is not the exchange's
            self.fail(error)

    def dataReceived(self, data: bytes) -> None:
        """Bytes, of which a handshake may not have too many."""
        if self.state == self.STATE_CONNECTING and len(self.data) > LONGEST_HEADER:
            self.fail(HandshakeRefused(f"a header of more than {LONGEST_HEADER} bytes"))
            return
        try:
            super().dataReceived(data)
        except Exception as error:  # noqa: BLE001 - `fail` logs what is not the exchange's
            # Autobahn logs the header as UTF-8, which it need not be.
            unreadable = self.state == self.STATE_CONNECTING and isinstance(error, ValueError)
            why = "it is not UTF-8" if isinstance(error, UnicodeError) else str(error)[:200]
            self.fail(HandshakeRefused(f"an unreadable answer: {why}") if unreadable else error)

    def onCloseFrame(self, code: int, reasonRaw: bytes) -> bool | None:
        """The exchange says goodbye, or answers ours: nothing comes after this, and the socket may outlive it."""
        was_open = self.state == self.STATE_OPEN
        violated: bool | None = super().onCloseFrame(code, reasonRaw)
        if was_open and self.state == self.STATE_CLOSING:
            self._goodbye = self._words_of_close()  # now: some servers answer our answer, with what that said
            self._end_session(ConnectionEnded(self._goodbye))
            self._hang_up_soon()
        return violated

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The socket is gone, whoever closed it."""
        super().connectionLost(reason)
        cause = self._cause or self._what_ended_it(reason)
        self._end_session(cause)
        if not self.opened.called:
            self.opened.errback(cause)
        self.ended.callback(cause)

    # --- the connection's owner calls -------------------------------------------------------------------------

    def do(self, action: Callable[[Moment], object]) -> None:
        """Call a method of the session with the moment it is now, and take the consequences."""
        try:
            action(self._moment())
        except Exception as error:  # noqa: BLE001 - `fail` logs what is not the exchange's
            self.fail(error)

    def tick(self) -> None:
        """A second has passed."""
        if self.session is not None and self.state == self.STATE_OPEN:
            self.do(self.session.tick)

    def fail(self, error: Exception) -> None:
        """Drop the connection: what it brings from now on is of no use. Of several errors the first counts."""
        if self._cause is not None:
            return
        self._cause = error
        if not isinstance(error, ExchangeError):
            _log.failure("a bug; the connection is made anew", Failure(error))
        self._end_session(error)
        self.wasNotCleanReason = str(error)
        self.dropConnection(abort=True)

    def close(self) -> None:
        """Say goodbye; hang up when the exchange does not answer."""
        if self.state != self.STATE_OPEN:
            self.transport.abortConnection()
            return
        self.sendClose(1000)
        self._hang_up_soon()

    # --- the parts --------------------------------------------------------------------------------------------

    def _begin_session(self, moment: Moment) -> None:
        self.session = self._begin(self._send)
        self.session.opened(moment)

    def _hang_up_soon(self) -> None:
        """If the exchange does not do so before."""
        hanging_up = self._clock.callLater(CLOSE_TIMEOUT, self.transport.abortConnection)
        self.is_closed.addBoth(lambda _: hanging_up.cancel() if hanging_up.active() else None)

    def _send(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:  # else it is closing, and there is nobody to ask
            self.sendMessage(payload)

    def _end_session(self, cause: Exception) -> None:
        """Tell the feeds, at once."""
        if self.session is None:
            return
        try:
            self.session.ended(str(cause), self._moment())
        except Exception:  # noqa: BLE001 - it must not keep the connection from ending
            _log.failure("a bug at the end of a session")

    def _what_ended_it(self, reason: Failure) -> Exception:
        if self.opened.called:
            return ConnectionEnded(self._last_words(reason))
        if self.wasOpenHandshakeTimeout:
            return HandshakeRefused("no answer to the handshake")
        status_line = getattr(self, "http_status_line", None)
        if status_line is None:
            closed = isinstance(reason.value, ConnectionClosed)
            # TLS, otherwise; Autobahn's own text would hide why.
            return HandshakeRefused(f"no answer, {reason.value}") if closed else _exception(reason)
        headers: Mapping[str, str] = self.http_headers
        why, pause = self.wasNotCleanReason or status_line, seconds_in(headers.get("retry-after"))
        return HandshakeRefused(why, _status(status_line), pause)

    def _last_words(self, reason: Failure) -> str:
        if self._goodbye:
            return self._goodbye
        if self.droppedByMe and self.wasNotCleanReason:  # by Autobahn: a message too long, a ping without a pong
            return str(self.wasNotCleanReason).removeprefix(_AUTOBAHN_SAYS)
        return f"the connection was lost: {reason.value}"

    def _words_of_close(self) -> str:
        words = f"{self.remoteCloseCode or ''} {self.remoteCloseReason or ''}".strip()
        return "the exchange closed the connection" + (f": {words}" if words else "")


def _exception(failure: Failure) -> Exception:
    """What a connection can be lost by is always one."""
    assert isinstance(failure.value, Exception)
    return failure.value


def _status(status_line: str) -> int | None:
    words = status_line.split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else None


class FeedFactory(WebSocketClientFactory):
    """Makes protocols for one URL. Each begins its own session, with what `begin` makes of its way to send."""

    noisy = False

    def __init__(
        self, url: str, begin: BeginSession, clock: Any, moment: Callable[[], Moment], fast_frames: bool = True
    ) -> None:
        # Autobahn's timers run on this, whatever reactor its factory is given.
        txaio.config.loop = clock
        place, headers = apart_from_password(url)
        super().__init__(url=place, headers=headers, reactor=clock, useragent="bfxtwist")
        host = str(urlsplit(place).hostname)
        if ":" in host:  # an IPv6 address, which Autobahn writes into the Host header as it is (RFC 9110, 7.2)
            self.host = f"[{host}]"
        self._begin = begin
        self._clock = clock
        self._moment = moment
        self._fast_frames = fast_frames
        self.setProtocolOptions(
            # The decoder refuses texts that are no UTF-8 where it keeps them; numbers are ASCII. It costs 16 % of the path.
            utf8validateIncoming=False,
            maxFramePayloadSize=LONGEST_MESSAGE,
            maxMessagePayloadSize=LONGEST_MESSAGE,
            openHandshakeTimeout=HANDSHAKE_TIMEOUT,
            # Ours does not round: see `_hang_up_soon`.
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            autoPingInterval=PING_EVERY,
            autoPingTimeout=PONG_TIMEOUT,
            tcpNoDelay=True,
        )

    def buildProtocol(self, _address: object) -> FeedProtocol:
        """A protocol for one connection."""
        protocol = FeedProtocol(self._begin, self._clock, self._moment)
        protocol.factory = self
        protocol.fast_frames = self._fast_frames
        return protocol
