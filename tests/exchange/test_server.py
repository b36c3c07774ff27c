"""Frames as the server writes them; its sockets are tested in `test_embedded.py`."""

from autobahn.websocket.protocol import WebSocketProtocol
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.server import ServerFactory, text_frame
from bfxtwist.exchange.venue import Limits


class FrameTest(SynchronousTestCase):
    """As RFC 6455 has them."""

    @given(st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000]))
    def test_a_frame_is_autobahns(self, size: int) -> None:
        sent: list[bytes] = []
        protocol = WebSocketProtocol()
        protocol.logFrames = protocol.applyMask = False
        protocol.logOctets = False
        protocol.factory = type("Factory", (), {"isServer": True})
        protocol.maskServerFrames = False
        protocol.trafficStats = type("Stats", (), {"outgoingOctetsWireLevel": 0, "outgoingWebSocketFrames": 0})
        protocol.sendData = lambda data, *_: sent.append(data)
        protocol.sendFrame(opcode=1, payload=b"x" * size)
        self.assertEqual(text_frame(b"x" * size), b"".join(sent))


class FactoryTest(SynchronousTestCase):
    """Without sockets."""

    def test_who_reads_nothing_is_cut_after_a_minute(self) -> None:
        clock = Clock()
        factory = ServerFactory(clock, lambda socket: self.fail("nobody came"), Limits())
        factory.start()
        self.addCleanup(factory.stop)
        cut: list[str] = []
        for name in ("reads", "late", "never", "never, and is sent more"):
            socket = factory.buildProtocol(None)
            socket.factory, socket.peer, socket.drop = factory, name, lambda name=name: cut.append(name)
            factory.sockets.add(socket)
            if name != "reads":
                socket.pauseProducing()
        clock.advance(45)
        late = next(socket for socket in factory.sockets if socket.peer == "late")
        late.resumeProducing()
        self.assertEqual((cut, late.choked), ([], False))
        next(socket for socket in factory.sockets if socket.peer == "never, and is sent more").pauseProducing()
        clock.advance(15)
        self.assertEqual(sorted(cut), ["never", "never, and is sent more"])

    def test_the_heart_beats_every_15_seconds(self) -> None:
        """(docs ws-general; measured in 2026)"""
        clock = Clock()
        beats: list[float] = []
        self.patch(ServerFactory, "beat", lambda _: beats.append(clock.seconds()))
        factory = ServerFactory(clock, lambda socket: self.fail("nobody came"), Limits())
        factory.start()
        self.addCleanup(factory.stop)
        clock.pump([1.0] * 45)
        self.assertEqual(beats, [15.0, 30.0, 45.0])

    def test_the_heart_stops_with_it(self) -> None:
        clock = Clock()
        factory = ServerFactory(clock, lambda socket: self.fail("nobody came"), Limits())
        factory.start()
        clock.pump([15.0, 15.0])
        factory.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
