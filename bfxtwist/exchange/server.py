"""The Autobahn side of a server of the protocol: sockets in, conversations behind them.

Nothing is decided here. A `ServerFactory` is given how to begin a conversation on a socket, beats the global heart, and
drops sockets that nobody uses; the simulator, the replay and the daemon's relay differ only in the conversations they begin.
"""

from collections.abc import Callable, Sequence
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from bfxtwist.exchange.conversation import Conversation
from bfxtwist.exchange.venue import Limits

_log = Logger()

#: Seconds for which a client may leave everything unread before it is cut: what waits for it is kept in memory.
PATIENCE = 60.0

#: No client says anything longer; Autobahn's own default is no limit at all.
LONGEST_REQUEST = 64 * 1024


def text_frame(payload: bytes) -> bytes:
    """An unmasked, final text frame (RFC 6455, 5.2).

    Autobahn's own `sendMessage` takes 20 µs each, which a burst would pay by the thousand.
    """
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


@implementer(IPushProducer)
class ServerProtocol(WebSocketServerProtocol):
    """One socket. Hands what comes to its conversation, and sends what that says."""

    factory: "ServerFactory"
    conversation: Conversation | None = None
    choked_since: float | None = None
    _idle: IDelayedCall | None = None

    # --- Autobahn calls -------------------------------------------------------------------------------------

    def onOpen(self) -> None:
        """Greet."""
        # twisted.web's channel produced for this transport before the upgrade.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)
        self.last_heard = self.factory.clock.seconds()
        self.conversation = self.factory.begin_conversation(self)
        self.factory.sockets.add(self)
        self._watch_idleness()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A client's request; a binary one is not answered, like all that is no JSON text."""
        self.last_heard = self.factory.clock.seconds()
        if self.conversation is None or isBinary:
            return
        try:
            self.conversation.received(payload)
        except Exception:  # noqa: BLE001 - Autobahn would lose it: a bug is logged as one, and ends this socket alone
            _log.failure("a request could not be answered: {payload!r}", failure=Failure(), payload=payload[:200])
            self.drop()

    def onPing(self, payload: bytes) -> None:
        """A client without channels that pings is alive; bitfinex-api-py keeps one such connection open."""
        self.last_heard = self.factory.clock.seconds()
        super().onPing(payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The socket is gone."""
        self.factory.sockets.discard(self)
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        if self.conversation is not None:
            self.conversation.end()
            self.conversation = None

    def dropConnection(self, abort: bool = False) -> None:
        """Not by a reset once both have said close: browsers (`wasClean`) and websocket-client take that for a loss."""
        super().dropConnection(abort and not self.wasClean)

    # --- the conversation calls -----------------------------------------------------------------------------

    def send(self, texts: Sequence[bytes]) -> None:
        """Text frames, in one write."""
        self.send_raw(b"".join(map(text_frame, texts)))

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are, while the socket is open."""
        if self.state == self.STATE_OPEN:
            self.transport.write(data)

    def drop(self) -> None:
        """Cut TCP, without a close frame."""
        self.transport.abortConnection()

    # --- the transport calls --------------------------------------------------------------------------------

    @property
    def choked(self) -> bool:
        """Whether what was sent is still waiting."""
        return self.choked_since is not None

    def pauseProducing(self) -> None:
        """The client does not read as fast as it is sent to. Twisted says so at each write, for as long as that is so."""
        if self.choked_since is None:
            self.choked_since = self.factory.clock.seconds()

    def resumeProducing(self) -> None:
        """It has caught up."""
        self.choked_since = None

    def stopProducing(self) -> None:
        """The connection is being lost; onClose follows."""

    # --- idleness -------------------------------------------------------------------------------------------

    def _watch_idleness(self) -> None:
        allowed = self.factory.limits.idle_seconds
        if self.conversation is None or not allowed:
            return
        now = self.factory.clock.seconds()
        if self.conversation.channels:
            self.last_heard = now
        left = self.last_heard + allowed - now
        if left <= 0:
            self.drop()
        else:
            self._idle = self.factory.clock.callLater(left, self._watch_idleness)


class ServerFactory(WebSocketServerFactory):
    """Makes sockets. `begin_conversation(outlet)` returns a conversation that has greeted already."""

    protocol = ServerProtocol

    def __init__(
        self, clock: IReactorTime, begin_conversation: Callable[[ServerProtocol], Conversation], limits: Limits
    ) -> None:
        super().__init__(server="")
        self.clock = clock
        self.begin_conversation = begin_conversation
        self.limits = limits
        self.sockets: set[ServerProtocol] = set()
        self._heart = LoopingCall(self.beat)
        self._heart.clock = clock
        # No deadline for the handshake: the request is here whole when it begins, and Autobahn's timer is not `clock`'s.
        sizes = {"maxMessagePayloadSize": LONGEST_REQUEST, "maxFramePayloadSize": LONGEST_REQUEST}
        self.setProtocolOptions(openHandshakeTimeout=0, tcpNoDelay=True, **sizes)

    @property
    def conversations(self) -> list[Conversation]:
        """Those of the open sockets."""
        return [socket.conversation for socket in self.sockets if socket.conversation is not None]

    def beat(self) -> None:
        """One heartbeat on every channel of every connection, except of those who do not read."""
        late = self.clock.seconds() - PATIENCE
        for socket in list(self.sockets):
            if socket.choked_since is not None and socket.choked_since <= late:
                _log.warn("{peer} was cut: it has left something unread for {s:g} s", peer=socket.peer, s=PATIENCE)
                socket.drop()
        for conversation in self.conversations:
            conversation.beat()

    def start(self) -> None:
        """Begin to beat."""
        self.startFactory()
        self._heart.start(self.limits.heartbeat_seconds, now=False)

    def rest(self) -> None:
        """Beat no more."""
        if self._heart.running:
            self._heart.stop()

    def stop(self) -> None:
        """Beat no more, and cut every connection."""
        self.rest()
        for socket in list(self.sockets):
            socket.drop()
        self.stopFactory()

    def __repr__(self) -> str:
        return f"<ServerFactory, {len(self.sockets)} sockets>"

    # Autobahn's class is untyped, and mypy asks for what it inherits.
    def setProtocolOptions(self, **options: Any) -> None:
        """As Autobahn's."""
        super().setProtocolOptions(**options)
