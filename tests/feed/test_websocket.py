"""The Autobahn protocol of one connection, on a fake transport and a fake clock."""

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.channels import Tally
from bfxtwist.core.errors import ConnectionEnded, HandshakeRefused, MalformedMessage, SequenceLost
from bfxtwist.core.market import Market
from bfxtwist.core.messages import Refused
from bfxtwist.core.moment import Moment
from bfxtwist.core.session import Session, SessionState
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.server import text_frame
from bfxtwist.feed.websocket import LONGEST_HEADER, LONGEST_MESSAGE, FeedFactory, FeedProtocol
from tests.core.conversation import BOOK, ROWS
from tests.feed.handshake import accept

GREETED = b'{"event":"info","version":2,"platform":{"status":1}}'
CONFIGURED = b'{"event":"conf","status":"OK","flags":229376}'
SUBSCRIBED = b'{"event":"subscribed","channel":"book","chanId":7,"symbol":"tBTCUSD","subId":"1"}'


class Transport(StringTransport):
    """Knows how it was closed."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True

    def unregisterProducer(self) -> None:
        """Real ones do not mind when there is none."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is no TCP."""


class Connected(SynchronousTestCase):
    """A protocol that is connected, with what `opened` and `ended` brought."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.market = Market()
        self.market.carry(BOOK, self.moment())
        self.sessions: list[Session] = []
        self.protocol = self.connect()

    def moment(self) -> Moment:
        return Moment(self.clock.seconds(), int(self.clock.seconds() * 1e6))

    def begin(self, send: Callable[[bytes], None]) -> Session:
        self.sessions.append(Session(self.market, [BOOK], send, self, Tally()))
        return self.sessions[-1]

    def noted(self, text: str, /, **fields: object) -> None:
        """Nothing is noted here."""

    def refused(self, subscription: Subscription, refusal: Refused) -> None:
        """Nor refused."""

    def displaced(self, subscription: Subscription) -> None:
        """Nor displaced."""

    def connect(self, url: str = "ws://exchange/ws/2") -> FeedProtocol:
        factory = FeedFactory(url, self.begin, self.clock, self.moment)
        protocol = factory.buildProtocol(None)
        self.transport = Transport()
        protocol.makeConnection(self.transport)
        self.opened: list[Any] = []
        self.ended: list[Any] = []
        protocol.opened.addBoth(self.opened.append)
        protocol.ended.addBoth(self.ended.append)
        return protocol

    def open(self, *texts: bytes) -> None:
        """The handshake is accepted; these come in the same segment."""
        self.protocol.dataReceived(accept(self.transport.value()) + b"".join(map(text_frame, texts)))

    def lose(self, reason: Exception | None = None) -> Any:
        """The socket is gone. What the connection ended with."""
        self.protocol.connectionLost(Failure(reason or ConnectionLost()))
        self.assertEqual(len(self.ended), 1)
        return self.ended[0]


class Handshakes(Connected):
    """From the TCP connection to the open WebSocket."""

    def refuse(self, answer: bytes, reason: Exception | None = None) -> HandshakeRefused:
        self.protocol.dataReceived(answer)
        error = self.lose(reason)
        assert isinstance(error, HandshakeRefused), repr(error)
        self.assertIs(self.opened[0].value, error)
        self.assertEqual(self.sessions, [])
        return error

    def test_accepted(self) -> None:
        self.assertNotIn(b"permessage-deflate", self.transport.value())
        self.open()
        self.assertEqual(self.opened, [None])
        self.assertIs(self.sessions[0].state, SessionState.HELLO)

    def test_the_name_of_the_host_is_told(self) -> None:
        for url, host in (
            ("ws://exchange/ws/2", b"exchange"),
            ("ws://127.0.0.1:8080/ws/2", b"127.0.0.1:8080"),
            ("ws://[::1]:8080/ws/2", b"[::1]:8080"),
            ("wss://[2001:db8::1]/ws/2", b"[2001:db8::1]"),
        ):
            self.connect(url)
            self.assertRegex(self.transport.value(), rb"\r\nHost: %b(:80|:443)?\r\n" % re.escape(host))

    def test_accepted_with_everything_in_one_segment(self) -> None:
        self.open(GREETED, CONFIGURED, SUBSCRIBED, b"[7,%b,1,1]" % ROWS.encode())
        self.assertEqual(self.market.feed(BOOK).state, "live")

    def test_refused(self) -> None:
        for status in (301, 400, 403, 404, 408, 429, 500, 502, 503, 504, 520):
            self.protocol = self.connect()
            error = self.refuse(b"HTTP/1.1 %d Nope\r\nContent-Type: text/html\r\n\r\n<html>" % status)
            self.assertEqual((error.status, error.retry_after), (status, None))
            self.assertIn(str(status), str(error))

    def test_retry_after(self) -> None:
        date = "Wed, 21 Oct 2026 07:28:00 GMT"
        for value, seconds in (("120", 120), ("0", 0), (date, None), ("-1", None), ("9" * 99, None)):
            self.protocol = self.connect()
            error = self.refuse(f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {value}\r\n\r\n".encode())
            self.assertEqual((error.status, error.retry_after), (429, seconds))

    def test_what_is_no_answer(self) -> None:
        for answer in (
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 abc Nope\r\n\r\n",
            b"HTTP/2 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nX-Front: \xff\xfe\r\n\r\n",
            b"\r\n\r\n",
            b"HTTP/1.1 101 X\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        ):
            self.protocol = self.connect()
            self.refuse(answer)
            self.assertTrue(self.transport.aborted)

    def test_an_answer_that_cannot_be_read(self) -> None:
        error = self.refuse(b"HTTP/1.1 101 Switching Protocols\r\nX-Front: \xff\xfe\r\n\r\n")
        self.assertEqual(str(error), "an unreadable answer: it is not UTF-8")

    def test_deflate_that_was_not_offered(self) -> None:
        answer = accept(self.transport.value())
        self.refuse(answer[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")

    def test_closed_instead(self) -> None:
        self.assertIsNone(self.refuse(b"", ConnectionDone()).status)

    def test_no_answer(self) -> None:
        self.clock.advance(9)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(3)
        self.assertTrue(self.transport.aborted)
        self.assertIn("no answer", str(self.lose()))

    def test_an_endless_header(self) -> None:
        self.protocol.dataReceived(b"HTTP/1.1 101 X\r\n")
        sent = 0
        while not self.transport.aborted and sent < 10 * LONGEST_HEADER:
            self.protocol.dataReceived(b"X: " + b"x" * 1000 + b"\r\n")
            sent += 1000
        self.assertLess(sent, LONGEST_HEADER + 2000)
        self.assertIsInstance(self.lose(), HandshakeRefused)

    def test_a_transport_s_own_reason(self) -> None:
        reason = ValueError("the certificate has expired")
        self.assertIs(self.lose(reason), reason)


class Frames(Connected):
    """What comes over the open WebSocket."""

    def setUp(self) -> None:
        super().setUp()
        self.open(GREETED, CONFIGURED, SUBSCRIBED, b"[7,%b,1,1]" % ROWS.encode())
        self.book = self.market.books["tBTCUSD"]

    def test_an_exchange_error_drops_the_connection_at_once(self) -> None:
        self.protocol.dataReceived(text_frame(b"[7,[98,1,1],3,1]") + text_frame(b"[7,[97,1,1],4,1]"))
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.book.state, "stale", "before the socket is gone")
        self.assertEqual(len(self.book.book.bids.rows), 2, "and nothing more is taken in")
        self.assertIsInstance(self.lose(), SequenceLost)
        self.assertEqual(self.book.reason, "expected sequence number 2, received 3")

    def test_binary_frames(self) -> None:
        self.protocol.dataReceived(b"\x82\x03abc")
        self.assertTrue(self.transport.aborted)
        self.assertIsInstance(self.lose(), MalformedMessage)

    def test_a_message_in_fragments(self) -> None:
        self.protocol.dataReceived(b"\x01\x08[7,[98,1" + b"\x80\x08,1],2,1]")
        self.assertEqual(len(self.book.book.bids.rows), 3)

    def test_a_message_that_is_too_long(self) -> None:
        for data in (
            b"\x81\x7f" + (LONGEST_MESSAGE + 1).to_bytes(8, "big"),
            b"\x01\x7f" + LONGEST_MESSAGE.to_bytes(8, "big") + b" " * LONGEST_MESSAGE + b"\x80\x01]",
        ):
            self.setUp()
            self.protocol.dataReceived(data)
            self.assertTrue(self.transport.aborted)
            error = self.lose()
            self.assertIsInstance(error, ConnectionEnded)
            self.assertTrue(str(error).startswith("received WebSocket "), error)

    def test_a_deflated_message(self) -> None:
        self.protocol.dataReceived(b"\xc1\x03abc")
        self.assertTrue(self.transport.aborted)
        self.assertIn("no extension negotiated", str(self.lose()))

    def test_who_pings_and_reads_no_pong_is_dropped(self) -> None:
        """What waits for it would grow for as long as it pings."""
        self.protocol.dataReceived(b"\x89\x01x" * 100)
        self.assertFalse(self.transport.aborted)
        self.assertTrue(self.transport.streaming)
        producer: Any = self.transport.producer
        producer.pauseProducing()
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.book.state, "stale")
        self.assertEqual(str(self.lose()), "the exchange does not read what it is answered")

    def test_a_bug_is_logged_as_one_and_drops_the_connection(self) -> None:
        def broken(_feed: object) -> None:
            raise ZeroDivisionError("a bug of a watcher")

        self.book.watchers.append(broken)
        self.protocol.dataReceived(text_frame(b"[7,[98,1,1],17,1]"))  # the sequence is lost, which the watcher is told
        self.assertTrue(self.transport.aborted)
        self.assertIsInstance(self.lose(), SequenceLost)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_bug_in_a_frame(self) -> None:
        self.sessions[0].received = lambda payloads, moment: 1 / 0  # type: ignore[method-assign,assignment]
        self.protocol.dataReceived(text_frame(b'[7,"hb",2,1]'))
        self.assertEqual(self.book.state, "stale")
        self.assertIsInstance(self.lose(), ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_ticks_reach_the_session_and_its_errors_the_connection(self) -> None:
        for _ in range(40):
            self.clock.advance(1)
            if self.protocol.autoPingPending:  # pongs are no messages
                self.protocol.dataReceived(b"\x8a\x0c" + self.protocol.autoPingPending)
            self.protocol.tick()
        self.assertTrue(self.transport.aborted)
        self.assertIn("no message for", str(self.lose()))

    def test_a_silent_peer_is_dropped_without_a_tick(self) -> None:
        self.clock.advance(10)
        self.clock.advance(11)
        self.assertTrue(self.transport.aborted)
        self.assertIn("ping", str(self.lose()))


class Ends(Connected):
    """How a connection ends."""

    def setUp(self) -> None:
        super().setUp()
        self.open(GREETED)
        self.transport.clear()

    def test_the_exchange_closes(self) -> None:
        self.protocol.dataReceived(b"\x88\x0a" + (1001).to_bytes(2, "big") + b"going it")
        self.assertEqual(str(self.lose(ConnectionDone())), "the exchange closed the connection: 1001 going it")

    def test_the_exchange_closes_and_answers_our_answer(self) -> None:
        self.protocol.dataReceived(b"\x88\x02" + (1013).to_bytes(2, "big"))
        self.protocol.dataReceived(b"\x88\x02" + (1000).to_bytes(2, "big"))
        self.assertEqual(str(self.lose(ConnectionDone())), "the exchange closed the connection: 1013")

    def test_the_exchange_closes_without_a_word(self) -> None:
        self.protocol.dataReceived(b"\x88\x00")
        self.assertEqual(str(self.lose(ConnectionDone())), "the exchange closed the connection")

    def test_the_exchange_closes_and_does_not_hang_up(self) -> None:
        self.protocol.dataReceived(b"".join(map(text_frame, (CONFIGURED, SUBSCRIBED, b"[7,%b,1,1]" % ROWS.encode()))))
        book = self.market.books["tBTCUSD"]
        self.assertEqual(book.state, "live")
        self.protocol.dataReceived(b"\x88\x02" + (1001).to_bytes(2, "big"))
        self.assertEqual((book.state, book.reason), ("stale", "the exchange closed the connection: 1001"))
        self.protocol.dataReceived(text_frame(b"[7,[98,1,1],2,1]") + b"\x88\x00")
        self.clock.advance(1.9)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(len(book.book.bids.rows), 2)
        self.lose()
        self.clock.advance(60)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_network_does(self) -> None:
        self.assertIn("the connection was lost", str(self.lose()))
        self.assertEqual(self.market.feed(BOOK).state, "connecting")

    def test_we_close_and_the_exchange_answers(self) -> None:
        self.protocol.close()
        self.assertEqual(self.transport.value()[:1], b"\x88")
        self.protocol.dataReceived(b"\x88\x02" + (1000).to_bytes(2, "big"))
        self.lose(ConnectionDone())
        self.clock.advance(5)
        self.assertFalse(self.transport.aborted)

    def test_we_close_and_it_does_not(self) -> None:
        self.protocol.close()
        self.clock.advance(1.9)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(0.2)
        self.assertTrue(self.transport.aborted)

    def test_nothing_is_sent_after_the_end(self) -> None:
        self.protocol.fail(MalformedMessage("x", b""))
        self.transport.clear()
        self.sessions[0]._send(b"{}")
        self.assertEqual(self.transport.value(), b"")

    def test_the_first_cause_counts(self) -> None:
        self.protocol.fail(MalformedMessage("first", b""))
        self.protocol.fail(MalformedMessage("second", b""))
        self.assertIn("first", str(self.lose()))
