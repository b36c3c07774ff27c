"""The simulated market: its books, its trades, its ledger."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book import Book
from bfxtwist.core.messages import BookUpdate, ChannelName, Checksum, Rows, TradeExecuted
from bfxtwist.core.raw_book import RawBook
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.wire import decode
from bfxtwist.exchange.ledger import read_ledger
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.tape import Query
from tests.exchange.clients import asks, conversation, subscribe

START = 1_800_000_000.0


class Watched:
    """A market and one client, who keeps a book."""

    def __init__(self, market: SimulatedMarket, raw: bool = False) -> None:
        self.market = market
        self.now = START
        market.advance(self.now)
        self.talk, self.ear = conversation(market)
        asks(self.talk, {"event": "conf", "flags": 131072})
        self.book = RawBook() if raw else Book()
        self.executed: list[TradeExecuted] = []
        self.confirmed: list[TradeExecuted] = []
        self.snapshots: list[Rows] = []
        self.checksums = self.updates = 0
        self.phases: list[list[int]] = []

    def subscribe(self, *, symbol: str = "tBTCUSD", **book: str) -> "Watched":
        """The book and the trades of a symbol."""
        asks(self.talk, subscribe(symbol, **book))
        asks(self.talk, subscribe(symbol, "trades"))
        return self

    def live(self, seconds: float) -> "Watched":
        """Let that much time pass, a millisecond at a time, and take in what is told."""
        for _ in range(int(seconds * 100)):
            self.now += 0.01
            self.market.advance(self.now)
        for burst in self.ear.bursts:
            phases = [self._take(text) for text in burst if text.startswith(b"[")]
            self.phases.append([phase for phase in phases if phase is not None])
        self.ear.bursts.clear()
        return self

    def _take(self, text: bytes) -> int | None:
        message = decode(text)
        if isinstance(message, Rows):
            self.snapshots.append(message)
            if not message.rows or len(message.rows[0]) == 3:
                self.book.load(message.rows)
        elif isinstance(message, BookUpdate):
            self.updates += 1
            self.book.apply(message.row)
            return 2 * int(float(message.row[1]) != 0) + int(message.row[2].startswith(b"-"))
        elif isinstance(message, Checksum):
            assert message.value == self.book.checksum()
            assert not self.book.crossed
            self.checksums += 1
        elif isinstance(message, TradeExecuted):
            (self.confirmed if message.confirmed else self.executed).append(message)
        return None


class BookTest(SynchronousTestCase):
    """Books of every kind are right whenever a checksum says so."""

    def test_precisions_lengths_and_prices(self) -> None:
        cases = [
            ("tBTCUSD", "P0", "25"), ("tBTCUSD", "P2", "25"), ("tBTCUSD", "P4", "100"), ("tBTCUSD", "R0", "100"),
            ("tVETBTC", "P0", "25"), ("tVETBTC", "R0", "25"), ("tBTCF0:USTF0", "P1", "250"), ("tNEW:COIN", "P0", "1"),
        ]  # fmt: skip
        for symbol, precision, length in cases:
            watched = Watched(SimulatedMarket(3, [symbol], rate=5), raw=precision == "R0")
            watched.subscribe(symbol=symbol, prec=precision, len=length).live(3)
            self.assertGreaterEqual(watched.checksums, 3, (symbol, precision))
            self.assertEqual(watched.book.unknown_deletes, 0)
            self.assertLessEqual(watched.book.depth, int(length))

    def test_batches_come_in_the_exchanges_order_and_pace(self) -> None:
        watched = Watched(SimulatedMarket()).subscribe().live(20)
        batches = [phases for phases in watched.phases if phases]
        self.assertTrue(all(phases == sorted(phases) for phases in batches))
        self.assertTrue(80 <= len(batches) <= 200, len(batches))
        self.assertTrue(6 <= watched.checksums <= 9, watched.checksums)

    def test_small_prices_are_written_with_an_exponent(self) -> None:
        watched = Watched(SimulatedMarket(1, ["tVETBTC"])).subscribe(symbol="tVETBTC").live(1)
        self.assertTrue(any(b"e-7" in row[0] for row in watched.book.bids.rows))

    def test_a_quiet_market_sends_no_checksum(self) -> None:
        market = SimulatedMarket()
        market.faults.set("quiet")
        watched = Watched(market).subscribe().live(10)
        self.assertEqual((watched.updates, watched.checksums), (0, 0))

    def test_shapes_of_a_book(self) -> None:
        market = SimulatedMarket(rate=5)
        watched = Watched(market).subscribe().live(1)
        for shape, bids, asks_ in (("thin", 3, 3), ("one-sided", 25, 0), ("empty", 0, 0)):
            market.faults.set("book", shape)
            watched.live(1)
            self.assertEqual((len(watched.book.bids.rows), len(watched.book.asks.rows)), (bids, asks_))
        market.faults.clear()
        self.assertEqual(watched.live(1).book.depth, 25)

    def test_f1_is_told_every_two_seconds(self) -> None:
        watched = Watched(SimulatedMarket()).subscribe(freq="F1").live(11)
        self.assertTrue(5 <= len([phases for phases in watched.phases if phases]) <= 7)

    def test_a_thousand_updates_a_second(self) -> None:
        watched = Watched(SimulatedMarket(rate=100)).subscribe(len="100").live(1)
        self.assertGreater(watched.updates, 1000)
        self.assertGreater(watched.checksums, 3)


class TradesTest(SynchronousTestCase):
    """Trades, the ledger and the history are one."""

    def test_te_tu_and_the_ledger(self) -> None:
        market = SimulatedMarket(rate=10)
        watched = Watched(market)
        before = len(market.ledger["tBTCUSD"])
        watched.subscribe().live(60)
        told = [message.trade for message in watched.executed]
        self.assertEqual(told, market.ledger["tBTCUSD"][before:])
        self.assertGreater(len(told), 100)
        self.assertEqual([t.id for t in told], sorted({t.id for t in told}))
        self.assertEqual([t.mts for t in told], sorted(t.mts for t in told))
        self.assertGreater(len(told), len({t.mts for t in told}))  # several in one ms
        confirmed = [message.trade.id for message in watched.confirmed]
        self.assertNotEqual(confirmed, sorted(confirmed))
        self.assertTrue(set(confirmed) < {t.id for t in told})
        self.assertEqual(len(set(confirmed)), len(confirmed))
        self.assertTrue(all(message.trade in told for message in watched.confirmed))

    def test_the_snapshot_is_the_end_of_the_history(self) -> None:
        market = SimulatedMarket()
        watched = Watched(market).subscribe().live(5)
        rows = watched.snapshots[1].rows
        self.assertEqual(len(rows), 30)
        self.assertEqual([int(row[0]) for row in rows], sorted((int(row[0]) for row in rows), reverse=True))
        everything = market.tape("tBTCUSD").history(Query(10_000, newest_first=False), int(watched.now * 1000))
        self.assertEqual(everything, sorted(market.ledger["tBTCUSD"], key=lambda t: (t.mts, t.id)))

    def test_times_drift_and_ids_do_not(self) -> None:
        market = SimulatedMarket(rate=10)
        market.faults.set("mts-drift", 9)
        watched = Watched(market).subscribe().live(10)
        stored = {t.id: t for t in market.tape("tBTCUSD").history(Query(10_000), int(watched.now * 1000))}
        drifts = {stored[t.id].mts - t.mts for t in market.ledger["tBTCUSD"]}
        self.assertEqual(set(stored), {t.id for t in market.ledger["tBTCUSD"]})
        self.assertTrue(len(drifts) > 3 and all(abs(drift) <= 9 for drift in drifts), drifts)

    def test_exponents(self) -> None:
        market = SimulatedMarket(rate=10)
        market.faults.set("exponents")
        watched = Watched(market).subscribe().live(20)
        self.assertTrue(any(b"e-" in message.trade.amount for message in watched.executed))

    def test_the_same_seed_is_the_same_market(self) -> None:
        one, other, third = (SimulatedMarket(seed, ["tBTCUSD", "tETHUSD"]) for seed in (5, 5, 6))
        for market in (one, other, third):
            Watched(market).live(5)
        self.assertEqual(one.ledger, other.ledger)
        self.assertNotEqual(one.ledger, third.ledger)

    def test_readers_do_not_change_the_market(self) -> None:
        alone, read = (SimulatedMarket(5, ["tBTCUSD", "tETHUSD"], rate=10) for _ in range(2))
        Watched(alone).live(10)
        Watched(read).live(3).subscribe().live(7)
        self.assertEqual(alone.ledger, read.ledger)

    def test_pairs_are_several_and_ids_are_global(self) -> None:
        market = SimulatedMarket(pairs=["tBTCUSD", "tBTCF0:USTF0"])
        Watched(market).live(10)
        ids = [trade.id for trades in market.ledger.values() for trade in trades]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(
            market.refuses(Subscription(ChannelName.TRADES, "tETHUSD")), "symbol: invalid"
        )

    def test_a_held_up_market_goes_on(self) -> None:
        market = SimulatedMarket()
        watched = Watched(market).subscribe()
        watched.now += 3600
        watched.live(1)
        self.assertLess(len(watched.phases), 100)
        self.assertLess(market.advance(watched.now), 0.3)

    def test_the_ledger_file(self) -> None:
        path = Path(self.mktemp())
        market = SimulatedMarket(pairs=["tVETBTC"], ledger=path)
        Watched(market).live(3)
        market.stop()
        self.assertEqual(read_ledger(path), dict(market.ledger))

    def test_not_a_symbol(self) -> None:
        for text in ("BTCUSD", "tBTC", "t", "BTC/USD"):
            with self.assertRaisesRegex(ValueError, "symbol|pair"):
                SimulatedMarket(pairs=[text])
