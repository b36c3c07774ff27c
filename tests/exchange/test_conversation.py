"""What a client is answered, in the exact shapes that the exchange uses."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import ChannelName, Code, Trade
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.conversation import Conversation
from bfxtwist.exchange.venue import Item, Limits, Reader, checksum, executed, snapshot, update
from tests.exchange.clients import Ear, asks, conversation, subscribe

SEQ_ALL, TIMESTAMP, OB_CHECKSUM, BULK = 65536, 32768, 131072, 536870912
BOOK = Subscription(ChannelName.BOOK, "tBTCUSD")
TRADES = Subscription(ChannelName.TRADES, "tBTCUSD")
ROWS = ((b"6443", b"5", b"1.5"), (b"6444", b"1", b"-2"))


class Stall:
    """A venue of one symbol, where nothing happens by itself."""

    def __init__(self) -> None:
        self.readers: list[tuple[Subscription, Reader]] = []

    def refuses(self, subscription: Subscription) -> str | None:
        """Everything but the one symbol."""
        return None if subscription.symbol == "tBTCUSD" else "symbol: invalid"

    def open(self, subscription: Subscription, reader: Reader) -> Item:
        """The same rows for everyone."""
        self.readers.append((subscription, reader))
        return snapshot(ROWS if subscription.channel is ChannelName.BOOK else ())

    def close(self, subscription: Subscription, reader: Reader) -> None:
        """Forget the reader."""
        self.readers.remove((subscription, reader))


class ConversationTest(SynchronousTestCase):
    """One connection."""

    def setUp(self) -> None:
        """A client that has been greeted."""
        self.venue = Stall()
        self.one, self.ear = self.begun()

    def begun(self, limits: Limits | None = None) -> tuple[Conversation, Ear]:
        """A conversation whose greeting was heard."""
        one, ear = conversation(self.venue, limits)
        one.begin("some-id")
        self.assertEqual(
            ear.take(), [{"event": "info", "version": 2, "serverId": "some-id", "platform": {"status": 1}}]
        )
        return one, ear

    def answers(self, *requests: dict[str, object]) -> list[object]:
        """What is answered to these."""
        for request in requests:
            asks(self.one, request)
        return list(self.ear.take())

    def test_a_book_is_acknowledged_and_then_told(self) -> None:
        self.assertEqual(
            self.answers(subscribe(prec="P0", freq="F0", len=25)),
            [
                {
                    "event": "subscribed", "channel": "book", "chanId": 1, "symbol": "tBTCUSD",
                    "prec": "P0", "freq": "F0", "len": "25", "pair": "BTCUSD",
                },
                [1, [[6443, 5, 1.5], [6444, 1, -2]]],
            ],
        )  # fmt: skip

    def test_trades_need_no_t_and_echo_the_sub_id(self) -> None:
        self.assertEqual(
            self.answers(subscribe("BTCUSD", "trades", subId="abc"))[0],
            {
                "event": "subscribed", "channel": "trades", "chanId": 1, "symbol": "tBTCUSD",
                "subId": "abc", "pair": "BTCUSD",
            },
        )  # fmt: skip

    def test_refusals_echo_the_request(self) -> None:
        cases = [
            (subscribe("tFAKEPAIRXYZ", "trades"), 10300, "symbol: invalid"),
            (subscribe(len="7"), 10300, "length: invalid"),
            (subscribe(prec="P9"), 10300, "precision: invalid"),
            (subscribe(freq="F2"), 10300, "frequency: invalid"),
            (subscribe(channel="nonsense"), 10300, "channel: unknown"),
        ]
        for request, code, message in cases:
            echoed = {key: value for key, value in request.items() if key != "event"}
            more = {"event": "error", "msg": message, "code": code, "pair": request["symbol"][1:]}
            self.assertEqual(self.answers(request), [{**echoed, **more}])

    def test_who_names_no_symbol_is_not_told_of_one(self) -> None:
        asked = {"channel": "candles", "key": "trade:1m:tBTCUSD"}
        refused = {"event": "error", "msg": "channel: unknown", "code": 10300}
        self.assertEqual(self.answers({"event": "subscribe", **asked}), [{**asked, **refused}])
        self.assertEqual(self.answers({"event": "subscribe"}), [refused])

    def test_a_second_subscription_is_told_the_first_ones_channel(self) -> None:
        [refused] = self.answers(subscribe(), subscribe())[2:]
        self.assertEqual(
            refused,
            {
                "channel": "book", "symbol": "tBTCUSD", "event": "error", "msg": "subscribe: dup", "code": 10301,
                "chanId": 1, "pair": "BTCUSD",
            },
        )  # fmt: skip
        self.assertEqual(self.answers(subscribe(prec="P1"))[0]["event"], "subscribed")  # type: ignore[index]

    def test_the_channel_limit(self) -> None:
        self.one, self.ear = self.begun(Limits(channels=1))
        [refused] = self.answers(subscribe(), subscribe(channel="trades"))[2:]
        self.assertEqual((refused["code"], refused["msg"]), (10305, "subscribe: limit"))  # type: ignore[index]

    def test_unsubscribing(self) -> None:
        self.assertEqual(
            self.answers(subscribe(), {"event": "unsubscribe", "chanId": 1}, {"event": "unsubscribe", "chanId": 1})[2:],
            [
                {"event": "unsubscribed", "status": "OK", "chanId": 1},
                {"chanId": 1, "event": "error", "msg": "unsubscribe: invalid", "code": 10400},
            ],
        )
        self.assertEqual(self.venue.readers, [])

    def test_ping_unknown_events_and_junk(self) -> None:
        for junk in (b"hello", b"", b"[1,2]", b"42", b'{"event":"unsubscribe","chanId":"x"}', b"[" * 100_000, b"\xff\xfe"):
            self.one.received(junk)
        self.assertEqual(self.ear.take(), [])
        self.assertEqual(
            self.answers({"event": "ping", "cid": 7}, {"event": "ping", "cid": "seven"}, {"event": "ping"}),
            [
                {"event": "pong", "ts": 1000, "cid": 7},
                {"event": "pong", "ts": 1000, "cid": "seven"},
                {"event": "pong", "ts": 1000},
            ],
        )
        self.assertEqual(
            self.answers({"event": "nope"}, {"event": "nope", "chanId": 5, "code": 1}),
            [
                {"event": "error", "msg": "event: invalid (nope)", "code": 10000},
                {"chanId": 5, "event": "error", "msg": "event: invalid (nope)", "code": 10000},
            ],
        )

    def test_numbers_count_all_array_frames_of_the_socket(self) -> None:
        self.answers({"event": "conf", "flags": SEQ_ALL | TIMESTAMP}, subscribe(), subscribe(channel="trades"))
        self.one.publish(BOOK, [update((b"6443", b"0", b"1"))])
        self.one.publish(TRADES, [executed(Trade(5, 6, b"2.8e-7", b"6443"))])
        self.one.beat()
        self.assertEqual(
            self.ear.take(),
            [
                [1, [6443, 0, 1], 3, 1000],
                [2, "te", [5, 6, 2.8e-7, 6443], 4, 1000],
                [1, "hb", 5, 1000],
                [2, "hb", 6, 1000],
            ],
        )

    def test_a_conf_replaces_the_flags_before_it(self) -> None:
        self.answers({"event": "conf", "flags": SEQ_ALL | OB_CHECKSUM}, subscribe())
        self.assertEqual(self.answers({"event": "conf", "flags": 0}), [{"event": "conf", "status": "OK", "flags": 0}])
        self.one.publish(BOOK, [update(ROWS[0]), checksum(-5)])
        self.assertEqual(self.ear.take(), [[1, [6443, 5, 1.5]]])
        self.answers({"event": "conf", "flags": SEQ_ALL | OB_CHECKSUM})
        self.one.publish(BOOK, [update(ROWS[0]), checksum(-5)])
        self.assertEqual(self.ear.take(), [[1, [6443, 5, 1.5], 1], [1, "cs", -5, 2]])
        self.assertEqual(self.answers({"event": "conf", "flags": -1})[0]["status"], "FAILED")  # type: ignore[index]

    def test_a_batch_is_one_write_and_bulk_updates_one_frame(self) -> None:
        self.answers(subscribe())
        items = [update(ROWS[0]), update(ROWS[1]), checksum(1)]
        self.one.publish(BOOK, items)
        self.assertEqual([len(burst) for burst in self.ear.bursts], [2])
        self.ear.take()
        self.answers({"event": "conf", "flags": SEQ_ALL | OB_CHECKSUM | BULK})
        self.one.publish(BOOK, items)
        self.assertEqual(self.ear.take(), [[1, [[6443, 5, 1.5], [6444, 1, -2]], 1], [1, "cs", 1, 2]])

    def test_notices_and_the_end(self) -> None:
        self.answers(subscribe())
        self.one.announce(Code.RESTART)
        self.assertEqual(
            self.ear.take(), [{"event": "info", "code": 20051, "msg": "Stopping. Please try to reconnect"}]
        )
        self.one.end()
        self.one.publish(BOOK, [update(ROWS[0])])
        self.assertEqual((self.venue.readers, self.ear.take()), ([], []))
