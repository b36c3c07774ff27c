"""A request has an end, wherever it is stuck and however much it brings, and that end is no bug."""

import tracemalloc
from gzip import compress
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from zope.interface import implementer

from bfxtwist.feed.rest import Answer, AsSent, RequestFailed, get


class Stuck(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def ask(self) -> "Deferred[Answer]":
        client = HTTPClient(Agent(self.reactor))
        return Deferred.fromCoroutine(get(client, "http://127.0.0.1:9/v2", {}, self.reactor, timeout=5))

    def connect(self) -> StringTransport:
        factory = self.reactor.tcpClients[-1][2]
        transport = StringTransport()
        factory.buildProtocol(None).makeConnection(transport)
        return transport

    def test_while_it_connects(self) -> None:
        """A firewall that drops what is sent to the exchange; the endpoint itself would wait for longer."""
        asking = self.ask()
        self.reactor.advance(5)
        self.assertIn("within 5 s", str(self.failureResultOf(asking, RequestFailed)))

    def test_while_there_is_no_answer(self) -> None:
        asking = self.ask()
        self.connect()
        self.reactor.advance(5)
        self.assertIn("within 5 s", str(self.failureResultOf(asking, RequestFailed)))

    def test_a_stop_in_the_meantime_is_told_as_one(self) -> None:
        for connected in (False, True):
            asking = self.ask()
            transport = self.connect() if connected else None
            asking.cancel()
            self.failureResultOf(asking, CancelledError)
            self.assertEqual(transport is not None and transport.disconnected, connected, "nothing is left of it")

    def test_a_stop_while_the_name_is_looked_up(self) -> None:
        """It is not told as a name that was not found; nor does what comes of it later matter."""
        questions: list[IResolutionReceiver] = []

        @implementer(IHostnameResolver)
        class Slow:
            def resolveHostName(self, resolutionReceiver: IResolutionReceiver, *_: Any, **_more: Any) -> Any:
                questions.append(resolutionReceiver)

        self.reactor.installNameResolver(Slow())
        asking = Deferred.fromCoroutine(get(HTTPClient(Agent(self.reactor)), "http://slow.example/v2", {}, self.reactor))
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        [question] = questions
        question.resolutionComplete()


class Asked(SynchronousTestCase):
    def test_it_says_who_asks(self) -> None:
        reactor: Any = MemoryReactorClock()
        asking = Deferred.fromCoroutine(get(HTTPClient(Agent(reactor)), "http://127.0.0.1:9/v2", {}, reactor))
        transport = StringTransport()
        reactor.tcpClients[-1][2].buildProtocol(None).makeConnection(transport)
        self.assertIn(b"\r\nUser-Agent: bfxtwist\r\n", transport.value())
        asking.cancel()
        self.failureResultOf(asking, CancelledError)


class Packed(SynchronousTestCase):
    """Bodies that a server packs, each in one answer over a connection in memory."""

    def answer(self, body: bytes, *headers: bytes, length: int | None = None) -> "Deferred[Answer]":
        reactor: Any = MemoryReactorClock()
        client = HTTPClient(AsSent(Agent(reactor)))
        asking = Deferred.fromCoroutine(get(client, "http://127.0.0.1:9/v2", {}, reactor, largest=1000))
        protocol = self.protocol = reactor.tcpClients[-1][2].buildProtocol(None)
        protocol.makeConnection(StringTransport())
        size = b"Content-Length: %d" % (len(body) if length is None else length)
        protocol.dataReceived(b"\r\n".join([b"HTTP/1.1 200 OK", size, *headers, b"", body]))
        return asking

    def fails(self, words: str, body: bytes, *headers: bytes) -> None:
        """Without more memory than the body may have."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        error = self.failureResultOf(self.answer(body, *headers), RequestFailed).value
        self.assertIn(words, str(error))
        self.assertLess(tracemalloc.get_traced_memory()[1], 2_000_000)

    def test_gzip(self) -> None:
        for names in (b"gzip", b"x-gzip", b"GZIP", b"identity, gzip"):
            answer = self.successResultOf(self.answer(compress(b"[1]"), b"Content-Encoding: " + names))
            self.assertEqual(answer.body, b"[1]")

    def test_no_body_at_all(self) -> None:
        self.assertEqual(self.successResultOf(self.answer(b"", b"Content-Encoding: gzip")).body, b"")

    def test_as_it_is(self) -> None:
        for header in (b"Content-Encoding: identity", b"Content-Encoding:", b"X: y"):
            self.assertEqual(self.successResultOf(self.answer(b"[1]", header)).body, b"[1]")

    def test_bombs(self) -> None:
        bomb = compress(b" " * 20_000_000)
        self.fails("more than 1000 bytes", bomb, b"Content-Encoding: gzip")
        self.fails("not asked for", compress(bomb), b"Content-Encoding: gzip, gzip")
        self.fails("not asked for", compress(bomb), b"Content-Encoding: gzip", b"Content-Encoding: gzip")

    def test_what_still_comes_after_too_much(self) -> None:
        """The connection ends, and what was on its way is no bug."""
        asking = self.answer(b" " * 1001, b"X: y", length=10_000)
        self.assertTrue(self.protocol.transport.disconnecting)
        self.protocol.dataReceived(b" " * 1001)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertIn("more than 1000 bytes", str(self.failureResultOf(asking, RequestFailed)))

    def test_what_cannot_be_unpacked(self) -> None:
        self.fails("it cannot be unpacked", b"[1]", b"Content-Encoding: gzip")
        self.fails("cannot be unpacked to its end", compress(b"[1]")[:-4], b"Content-Encoding: gzip")
        self.fails("not asked for: br", b"[1]", b"Content-Encoding: br")

    def test_what_comes_after_the_end(self) -> None:
        """Half an answer is none, and what has no end is not kept."""
        self.fails("after the end of what is packed", compress(b"[1]") + b" ", b"Content-Encoding: gzip")
        self.fails("after the end of what is packed", compress(b"[1,") + compress(b"2]"), b"Content-Encoding: gzip")
