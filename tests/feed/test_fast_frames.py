"""The fast path and Autobahn alone are told the same bytes, and must tell the same.

The streams are mixes of every kind of frame, whole and broken, cut anywhere. So that this test itself can be trusted, the
mistakes that such a fast path invites are planted one by one, and each must be found.
"""

import base64
import hashlib
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

import txaio
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.moment import Moment
from bfxtwist.feed import fast_frames
from bfxtwist.feed.fast_frames import SUPPORTED, FastFrames, leading_texts, unmet_expectations
from bfxtwist.feed.websocket import FeedFactory
from bfxtwist.options import Options

CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, MASKED = 0x80, 0x80


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes = b"") -> bytes:
    """One frame, correct or not, of minimal length encoding."""
    first = (FIN if fin else 0) | reserved << 4 | opcode
    masked = MASKED if mask else 0
    if len(payload) < 126:
        head = bytes([first, masked | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, masked | 126]) + struct.pack("!H", len(payload))
    else:
        head = bytes([first, masked | 127]) + struct.pack("!Q", len(payload))
    return head + mask + bytes(octet ^ mask[at % 4] if mask else octet for at, octet in enumerate(payload))


def deflated(payload: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def fragmented(parts: list[bytes], between: list[bytes]) -> bytes:
    """A text message in fragments, with other frames (allowed there or not) before the last one."""
    first, *rest = parts
    frames = [frame(TEXT, first, fin=False)] + [frame(CONTINUED, part, fin=False) for part in rest[:-1]]
    return b"".join([*frames, *between, frame(CONTINUED, rest[-1])])


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


# --- streams --------------------------------------------------------------------------------------------------

update = st.tuples(st.integers(0, 9999), st.integers(0, 9), st.integers(1, 10**12)).map(
    lambda numbers: b"[17082,[%d.5,%d,0.25],%d]" % numbers
)
short_text = update | st.text(max_size=20).map(str.encode) | st.just(b"")
plain = short_text.map(lambda text: frame(TEXT, text))
run = st.lists(update.map(lambda text: frame(TEXT, text)), min_size=2, max_size=12).map(b"".join)
control = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=10))
close = st.builds(
    lambda code, reason: frame(CLOSE, struct.pack("!H", code) + reason),
    st.sampled_from([1000, 1001, 1006, 1012, 3000, 999, 5000]),
    st.sampled_from([b"", b"bye", b"\xff"]),
)
long_text = st.sampled_from([124, 125, 126, 127, 300, 65536]).map(lambda size: frame(TEXT, b"x" * size))
in_parts = st.builds(
    fragmented,
    st.lists(st.sampled_from([b"", b"a", b"\xc3", b"\xa9", b"[1,2]", b"y" * 60]), min_size=2, max_size=4),
    st.lists(control | plain, max_size=2),
)
odd = st.builds(
    frame,
    st.sampled_from([*range(16), TEXT, TEXT]),
    st.sampled_from([b"", b"a", b"[1,2,3]", b"\x81\x01a", b"\xff", b"z" * 125]),
    fin=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 4, 1, 2, 7]),
    mask=st.sampled_from([b"", b"", b"mask"]),
)
packed = update.map(lambda text: frame(TEXT, deflated(text), reserved=4))
#: No UTF-8, and what looks like the beginning of a frame within one.
broken_text = st.sampled_from([b"\xff", b"\xc3", b"[1\x81\x01x]", b"\x81\x02ab"]).map(lambda text: frame(TEXT, text))
not_minimal = st.just(bytes([FIN | TEXT, 126, 0, 2]) + b"ab")
noise = st.binary(max_size=6)
anything = st.one_of(plain, run, run, control, in_parts, long_text, odd, packed, broken_text, close, not_minimal, noise)
stream = st.lists(anything, min_size=1, max_size=8).map(b"".join)
cuts = st.lists(st.integers(0, 10**6), max_size=8)
options = st.builds(
    ClientOptions,
    fail_by_drop=st.booleans(),
    check_utf8=st.booleans(),
    longest_message=st.sampled_from([0, 0, 20, 125, 200]),
    accept_masked=st.booleans(),
    deflate=st.booleans(),
    pinging=st.booleans(),
)


# --- a client in memory, and all that it tells -----------------------------------------------------------------


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
    request = dict(line.split(b": ", 1) for line in transport.value().split(b"\r\n") if b": " in line)
    accept = base64.b64encode(hashlib.sha1(request[b"Sec-WebSocket-Key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if options.deflate else b""
    protocol.dataReceived(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%b"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % (extension, accept)
    )
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


class LikeAutobahn(SynchronousTestCase):
    """For any bytes, cut anywhere, under any options."""

    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(stream, cuts, options)
    def test_tells_what_autobahn_alone_tells(self, data: bytes, cuts: list[int], options: ClientOptions) -> None:
        self.assertEqual(tell(Fast, data, cuts, options), tell(Alone, data, cuts, options))

    def test_a_run_is_handed_on_in_one_batch(self) -> None:
        batches: list[list[bytes]] = []

        class Batched(Fast):
            def payloads_received(self, payloads: list[bytes]) -> None:
                batches.append(payloads)

        protocol, told = client(Batched, ClientOptions())
        protocol.dataReceived(frame(TEXT, b"[1]") + frame(TEXT, b"[2]") + frame(PING) + frame(TEXT, b"[3]"))
        self.assertEqual(batches, [[b"[1]"], [b"[3]"]])
        self.assertEqual(told, ["open", (b"[2]", False)])

    def test_stops_when_a_message_of_the_run_drops_the_connection(self) -> None:
        class Dropping(Fast):
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                super().onMessage(payload, isBinary)
                self.dropConnection(abort=True)

        protocol, told = client(Dropping, ClientOptions())
        protocol.dataReceived(frame(TEXT, b"[1]") + frame(TEXT, b"[2]"))
        self.assertEqual(told, ["open", (b"[1]", False)])

    def test_is_off_when_asked_to_be(self) -> None:
        class Off(Fast):
            fast_frames = False

            def payloads_received(self, payloads: list[bytes]) -> None:
                raise AssertionError("the fast path was taken")

        protocol, told = client(Off, ClientOptions())
        protocol.dataReceived(frame(TEXT, b"[1]") * 3)
        self.assertEqual(told, ["open", *[(b"[1]", False)] * 3])

    def test_is_off_where_the_setting_says_so(self) -> None:
        options = Options(environ={})
        options.parseOptions(["--pair", "BTC/USD", "--channel", "book", "--no-fast-frames"])
        self.assertTrue(options.settings.no_fast_frames)
        clock = MemoryReactorClock()
        self.addCleanup(setattr, txaio.config, "loop", txaio.config.loop)
        moment = Moment(0.0, 0)
        factory = FeedFactory("ws://exchange/ws/2", lambda send: self.fail(), clock, lambda: moment, fast_frames=False)
        self.assertFalse(factory.buildProtocol(None).fast_frames)

    def test_leaves_it_to_autobahn_when_somebody_listens_for_each_message(self) -> None:
        protocol, _told = client(Fast, ClientOptions())
        heard: list[bytes] = []
        protocol.on("message", lambda payload, is_binary: heard.append(payload))
        protocol.dataReceived(frame(TEXT, b"[1]") * 2)
        self.assertEqual(heard, [b"[1]", b"[1]"])


class WhatIsReliedOn(SynchronousTestCase):
    """Another Autobahn is noticed at import."""

    def test_the_installed_autobahn_is_known(self) -> None:
        self.assertTrue(SUPPORTED)

    def test_a_missing_method_and_a_changed_one_are_named(self) -> None:
        class Changed:
            def processData(self) -> bool:
                return False

        unmet = unmet_expectations(Changed, {"processData": {"data"}, "consumeData": set()})
        self.assertEqual(unmet, ["processData", "consumeData"])

    def test_an_unknown_autobahn_gets_every_frame(self) -> None:
        self.patch(fast_frames, "SUPPORTED", False)
        self.patch(fast_frames, "leading_texts", lambda data: self.fail("the fast path was taken"))
        protocol, told = client(Fast, ClientOptions())
        protocol.dataReceived(frame(TEXT, b"[1]"))
        self.assertEqual(told, ["open", (b"[1]", False)])


# --- mistakes, planted ----------------------------------------------------------------------------------------


class AnyState(Fast):
    """Takes a run in the middle of a frame, too."""

    def processData(self) -> bool:
        payloads = leading_texts(self.data)
        if self.current_frame is not None and payloads:
            self._take(payloads)
            return len(self.data) > 0
        return bool(super().processData())


class WithinMessages(Fast):
    """Takes a text between the fragments of another one."""

    def processData(self) -> bool:
        payloads = leading_texts(self.data)
        if self.inside_message and self.current_frame is None and payloads:
            self._take(payloads)
            return len(self.data) > 0
        return bool(super().processData())


class Uncounted(Fast):
    """Counts no frames."""

    def _take(self, payloads: list[bytes]) -> None:
        before = self.trafficStats.incomingWebSocketFrames
        super()._take(payloads)
        self.trafficStats.incomingWebSocketFrames = before


class StillPinging(Fast):
    """Forgets that a run is as good as a pong."""

    def _cancelAutoPingTimeoutCall(self) -> None:
        if not self.inside_message:
            return
        super()._cancelAutoPingTimeoutCall()


class Unlimited(Fast):
    """Does not look at the longest message allowed."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self._fast = True


class AfterClosing(Fast):
    """Goes on counting when the connection is closing."""

    def processData(self) -> bool:
        payloads = leading_texts(self.data)
        if self.state == self.STATE_CLOSING and payloads and self.current_frame is None and not self.inside_message:
            self._take(payloads)
            return len(self.data) > 0
        return bool(super().processData())


def any_octets(data: bytes) -> list[bytes]:
    """Takes texts that are not ASCII, and so perhaps not UTF-8."""
    payloads, at = [], 0
    while data[at : at + 1] == b"\x81" and at + 1 < len(data) and data[at + 1] < 126 and at + 2 + data[at + 1] <= len(data):
        payloads.append(data[at + 2 : at + 2 + data[at + 1]])
        at += 2 + data[at + 1]
    return payloads


def any_length(data: bytes) -> list[bytes]:
    """Believes the pieces, not the lengths."""
    return [piece[1:] for piece in data.split(b"\x81")[1:] if piece] if data[:1] == b"\x81" else []


class PlantedMistakes(SynchronousTestCase):
    """Each is found by the same streams."""

    def found(self, kind: type, examples: int = 1500) -> bool:
        @settings(
            max_examples=examples, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
        )
        @given(stream, cuts, options)
        def looked_for(data: bytes, cuts: list[int], options: ClientOptions) -> None:
            assert same(kind, data, cuts, options)

        try:
            looked_for()
        except AssertionError:
            return True
        return False

    def test_every_planted_class_is_found(self) -> None:
        for kind in (AnyState, WithinMessages, Uncounted, StillPinging, Unlimited, AfterClosing):
            with self.subTest(kind.__name__):
                self.assertTrue(self.found(kind))

    def test_every_planted_walk_is_found(self) -> None:
        walks: list[Callable[[bytes], list[bytes]]] = [any_octets, any_length]
        for walk in walks:
            with self.subTest(walk.__name__):
                self.patch(fast_frames, "leading_texts", walk)
                self.assertTrue(self.found(Fast))

    def test_the_harness_finds_nothing_where_nothing_is_planted(self) -> None:
        self.assertFalse(self.found(Fast, examples=200))
