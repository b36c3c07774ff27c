"""Two WebSocket clients in memory, Autobahn alone and the fast path, and all that each makes of the same bytes."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from bfxtwist.feed.fast_frames import FastFrames
from tests.feed.handshake import accept


class Wire(StringTransport):
    """What was written; real transports do not mind being told that there is no producer."""

    def unregisterProducer(self) -> None:
        self.producer = None


class ClientOptions(NamedTuple):
    """What a client can be set to, as far as it touches what comes in."""

    fail_by_drop: bool = True
    check_utf8: bool = False
    longest_message: int = 0
    accept_masked: bool = False
    deflate: bool = False
    pinging: bool = False


options = st.builds(
    ClientOptions,
    fail_by_drop=st.booleans(),
    check_utf8=st.booleans(),
    longest_message=st.sampled_from([0, 0, 20, 125, 200]),
    accept_masked=st.booleans(),
    deflate=st.booleans(),
    pinging=st.booleans(),
)


class Telling:
    """Mixed into a client protocol: writes down what happens to it."""

    def tell_to(self, told: list[Any]) -> None:
        self.told = told

    def onOpen(self) -> None:
        self.told.append("open")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.told.append((payload, isBinary))
        if payload == b"[1,2]":
            self.sendClose(3000)  # type: ignore[attr-defined]

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.told.append(("closed", wasClean, code, reason))


class Alone(Telling, WebSocketClientProtocol):
    """Autobahn's own path."""


class Fast(Telling, FastFrames):
    """The path under test."""


class Told(NamedTuple):
    """Everything that may be compared."""

    events: list[Any]
    written: bytes
    counters: dict[str, int]
    state: int
    codes: tuple[Any, ...]
    left: tuple[bytes, bool, bool]
    pinging: list[bool]


def client(kind: type, options: ClientOptions) -> tuple[Any, list[Any]]:
    """A client protocol of this kind, past its handshake."""
    clock = MemoryReactorClock()
    factory = WebSocketClientFactory("ws://127.0.0.1:1/ws/2", reactor=clock)
    factory._batched_timer = SimpleNamespace(call_later=clock.callLater)  # its own would run on the global reactor
    factory.protocol = kind
    factory.setProtocolOptions(
        maskClientFrames=False,
        failByDrop=options.fail_by_drop,
        utf8validateIncoming=options.check_utf8,
        maxMessagePayloadSize=options.longest_message,
        acceptMaskedServerFrames=options.accept_masked,
        perMessageCompressionOffers=[PerMessageDeflateOffer()] if options.deflate else [],
        perMessageCompressionAccept=PerMessageDeflateResponseAccept,
        serverConnectionDropTimeout=0,
        autoPingInterval=10 if options.pinging else 0,
        autoPingTimeout=30 if options.pinging else 0,
    )
    protocol = factory.buildProtocol(None)
    told: list[Any] = []
    protocol.tell_to(told)
    transport = Wire()
    protocol.makeConnection(transport)
    extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if options.deflate else b""
    protocol.dataReceived(accept(transport.value())[:-2] + extension + b"\r\n")
    clock.advance(10 if options.pinging else 0)
    transport.clear()
    return protocol, told


def tell(kind: type, data: bytes, cuts: list[int], options: ClientOptions) -> Told:
    """What a client of this kind makes of `data`, cut at `cuts`."""
    protocol, told = client(kind, options)
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    for start, end in pairwise(edges):
        if start < end and not protocol.transport.disconnecting:
            protocol.dataReceived(data[start:end])
    left = (protocol.data, protocol.current_frame is None, protocol.inside_message)
    calls = (protocol.autoPingTimeoutCall, protocol.autoPingPendingCall, protocol.autoPingPending)
    pinging = [call is not None for call in calls]
    state = protocol.state
    protocol.connectionLost(Failure(ConnectionDone()))
    codes = (protocol.localCloseCode, protocol.remoteCloseCode, protocol.wasClean, protocol.failedByMe, protocol.closedByMe)
    counters = dict(vars(protocol.trafficStats))
    if (b"[1,2]", False) in told:  # a run is counted as a whole, also when one of its messages makes the client close
        counters = {}
    return Told(told, protocol.transport.value(), counters, state, codes, left, pinging)


def same(kind: type, data: bytes, cuts: list[int], options: ClientOptions) -> bool:
    """Whether a client of this kind tells what Autobahn tells."""
    return tell(kind, data, cuts, options) == tell(Alone, data, cuts, options)
