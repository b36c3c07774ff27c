"""One client of the relay: what it may ask, what it may leave unread, and how it is let go."""

from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

import tests.out.served
from bfxtwist.core.wire import encode_event
from bfxtwist.out.relay_client import SEND_BUFFER
from tests.out.relayed import BULK, ENDED, SEQ_ALL, TIMESTAMP, RelayClient, Relayed, trades


class Asking(SynchronousTestCase):
    """What a client may ask for."""

    def test_channels(self) -> None:
        """10305, and the connection stays."""
        client = Relayed(channels=1).connect()
        client.subscribe()
        (error,) = client.subscribe("trades")
        self.assertEqual((error["code"], error["msg"]), (10305, "subscribe: limit"))
        self.assertIsNone(client.close)

    def test_length_of_a_message(self) -> None:
        """An error, and the close code for it."""
        client = Relayed().connect()
        (error,) = client.ask(event="ping", cid=1, filler="x" * 5000)
        self.assertEqual((error["code"], error["msg"]), (10020, "request: too long"))
        self.assertEqual(client.close, (1009, "a request is longer than 4096 bytes"))

    def test_rate_of_messages(self) -> None:
        """A hundred at once, ten a second from then on."""
        relayed = Relayed()
        client = relayed.connect()
        for _ in range(3):
            answers = [client.ask(event="ping") for _ in range(100 if not relayed.clock.seconds() else 10)]
            self.assertEqual({answer[0]["event"] for answer in answers}, {"pong"})
            relayed.turn(1)
        answers = [client.ask(event="ping") for _ in range(12)]
        self.assertEqual(answers[-1][0]["msg"] if answers[-1] else answers[-2][0]["msg"], "ratelimit: error")
        self.assertEqual(client.close, (1008, "more than 10 requests a second"))

    def test_the_longest_message(self) -> None:
        client = Relayed().connect()
        empty = len(encode_event({"event": "ping", "filler": ""}))
        self.assertEqual(client.ask(event="ping", filler="x" * (4096 - empty))[0]["event"], "pong")
        self.assertEqual(client.ask(event="ping", filler="x" * (4097 - empty))[0]["msg"], "request: too long")

    def test_rest_is_not_saved_up(self) -> None:
        """After an hour a hundred at once are allowed, as at the beginning, and no more."""
        relayed = Relayed()
        client = relayed.connect()
        client.subscribe()
        relayed.turn(3600)
        client.take()
        answers = [client.ask(event="ping")[0]["event"] for _ in range(100)]
        self.assertEqual(set(answers), {"pong"})
        self.assertEqual(client.ask(event="ping")[0]["msg"], "ratelimit: error")


class Telling(SynchronousTestCase):
    """What a client is told, and how."""

    def setUp(self) -> None:
        self.relayed = Relayed()
        self.client = self.relayed.connect()

    def test_flags(self) -> None:
        """SEQ_ALL counts every array frame of the socket from 1; TIMESTAMP is last."""
        self.client.ask(event="conf", flags=SEQ_ALL | TIMESTAMP)
        self.client.subscribe("trades")
        self.client.subscribe("book")
        self.relayed.execute(4)
        self.relayed.update(b"6000.50", b"1", b"1")
        self.relayed.turn(15)
        frames = [message for message in self.client.take() if isinstance(message, list)]
        self.assertEqual([frame[-2] for frame in frames], [3, 4, 5, 6])
        self.assertEqual({len(frame) for frame in frames}, {4, 5})
        self.assertTrue(all(frame[-1] >= 1_790_134_414_850 for frame in frames))

    def test_bulk(self) -> None:
        """BULK_UPDATES puts the updates of a batch in one frame."""
        self.client.ask(event="conf", flags=BULK)
        self.client.subscribe()
        self.relayed.update(b"6000.50", b"1", b"1")
        self.relayed.update(b"5999.50", b"1", b"1")
        self.relayed.turn()
        self.assertEqual(self.client.take(), [[1, [[6000.5, 1, 1], [5999.5, 1, 1]]]])


class NotLive(SynchronousTestCase):
    """A feed that comes, goes, or is not to be had any more."""

    def setUp(self) -> None:
        self.relayed = Relayed()
        self.client = self.relayed.connect()
        self.client.subscribe()

    def test_subscribe_waits(self) -> None:
        """A subscription is acknowledged when there is a book to be trusted."""
        self.relayed.lose()
        other = self.relayed.connect()
        self.assertEqual([message["code"] for message in other.subscribe()], [20060])
        self.assertEqual(other.subscribe()[0]["code"], 10301)
        self.relayed.snapshot()
        self.relayed.turn()
        self.assertEqual([message["event"] for message in other.take() if isinstance(message, dict)], ["subscribed", "info"])

    def test_only_those_who_read_it(self) -> None:
        """A connection is not told of feeds that it does not read."""
        other = self.relayed.connect()
        other.subscribe("trades")
        self.relayed.book.lost("checksum", self.relayed.now())
        self.relayed.turn()
        self.assertEqual((len(self.client.take()), other.take()), (1, []))

    def test_forgotten(self) -> None:
        """What is not carried any more is unsubscribed, unasked."""
        self.relayed.market.forget(self.relayed.book.subscription)
        self.relayed.lose()
        self.assertEqual(self.client.take(), [{"event": "unsubscribed", "status": "OK", "chanId": 1}])
        self.assertEqual(self.client.subscribe()[0]["msg"], "symbol: invalid")

    def test_what_the_exchange_has_no_more_keeps_nothing_else_from_being_live(self) -> None:
        """A client that heeds 20060 would trust none of its books for as long as one of them is refused."""
        self.client.subscribe("trades")
        self.relayed.lose()
        waiting = self.relayed.connect()
        waiting.subscribe(subId="a")
        self.client.take()
        self.relayed.book.refused = True
        self.relayed.tape.snapshot(trades(3), self.relayed.now())
        self.relayed.turn()
        self.assertEqual(self.client.take(), [{"event": "unsubscribed", "status": "OK", "chanId": 1}, ENDED])
        error, ended = waiting.take()
        self.assertEqual((error["code"], error["symbol"], error["subId"], ended), (10300, "tBTCUSD", "a", ENDED))
        self.assertEqual(waiting.subscribe()[0]["msg"], "symbol: invalid")
        self.relayed.book.syncing("waiting for the acknowledgement", self.relayed.now())
        self.relayed.snapshot()
        self.assertEqual(waiting.subscribe()[0]["event"], "subscribed")


class LettingGo(SynchronousTestCase):
    """The end of a connection that the relay ends."""

    def setUp(self) -> None:
        self.relayed = Relayed()
        self.client = self.relayed.connect()

    def end(self) -> None:
        self.client.ask(event="ping", filler="x" * 5000)
        self.assertEqual(self.client.close, (1009, "a request is longer than 4096 bytes"))

    def test_who_does_not_take_the_close_is_cut(self) -> None:
        """After five seconds, in which what is before it can be read."""
        self.end()
        self.relayed.turn(4.9)
        self.client.take()
        self.assertFalse(self.client.lost)
        self.relayed.turn(0.2)
        self.client.take()
        self.assertTrue(self.client.lost)
        self.assertEqual(self.relayed.relay.status().connections, 0)

    def test_who_takes_it_is_let_go_at_once(self) -> None:
        """And nothing is left on the clock. Not by a reset, which is no clean close to a browser."""
        self.end()
        self.client.say(b"\x03\xf1", opcode=8)
        self.assertTrue(self.client.lost)
        self.assertFalse(self.client.transport.disconnected)
        self.relayed.turn()
        self.successResultOf(self.relayed.relay.stopService())
        self.assertEqual(self.relayed.clock.getDelayedCalls(), [])

    def test_it_is_counted_once_however_much_more_is_said(self) -> None:
        for _ in range(3):
            self.end()
        self.assertEqual(self.relayed.relay.status().ended, {"too long": 1})


class Reading(SynchronousTestCase):
    """What waits for a client who does not read."""

    def test_who_has_caught_up_is_listened_to_again(self) -> None:
        client = Relayed().connect()
        client.choke()
        self.assertFalse(client.reading)
        client.breathe()
        self.assertTrue(client.reading)
        self.assertEqual(client.ask(event="ping")[0]["event"], "pong")

    def test_the_kernel_keeps_little(self) -> None:
        """By itself it keeps up to 4 MiB for each, which nobody would see in the figures."""
        set_to: list[tuple[Any, ...]] = []

        class Handle:
            def setsockopt(self, *option: int) -> None:
                set_to.append(option)

        class Socket(StringTransport):
            def getHandle(self) -> Handle:
                return Handle()

        self.patch(tests.out.served, "StringTransport", Socket)
        RelayClient(Relayed())
        self.assertEqual(set_to, [(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)])
