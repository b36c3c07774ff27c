"""The fast path and Autobahn alone are told the same bytes, and must tell the same.

The streams are mixes of every kind of frame, whole and broken, cut anywhere. So that this test itself can be trusted, the
mistakes that such a fast path invites are planted one by one, and each must be found.
"""

from collections.abc import Callable

import txaio
from hypothesis import HealthCheck, Phase, given, settings
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.moment import Moment
from bfxtwist.feed import fast_frames
from bfxtwist.feed.fast_frames import SUPPORTED, leading_texts, unmet_expectations
from bfxtwist.feed.websocket import FeedFactory
from bfxtwist.options import Options
from tests.feed.frame_streams import PING, TEXT, cuts, frame, stream
from tests.feed.two_clients import Alone, ClientOptions, Fast, client, options, same, tell


class LikeAutobahn(SynchronousTestCase):
    """For any bytes, cut anywhere, under any options."""

    @settings(max_examples=400)
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

    def test_a_ping_that_holds_a_frame_and_is_cut_before_it(self) -> None:
        data = frame(PING, frame(TEXT, b"[1]")) + frame(TEXT, b"[2]")
        told = tell(Fast, data, [2], ClientOptions())
        self.assertEqual(told, tell(Alone, data, [2], ClientOptions()))
        self.assertEqual(told.events[:2], ["open", (b"[2]", False)])

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
            max_examples=examples, derandomize=True, database=None, phases=[Phase.generate],
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
