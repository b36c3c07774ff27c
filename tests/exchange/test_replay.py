"""Recordings, played as an exchange."""

import gzip
import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.ledger import read_ledger
from bfxtwist.exchange.replay import ReplayMarket
from bfxtwist.exchange.tape import Query
from tests.exchange.clients import SocketClient, asks, connect, conversation, reactor, subscribe, until
from tests.recordings import recording_path

CAPTURE = "capture-2018-11-12-tBTCUSD.jsonl.gz"

SMALL = [
    {"event": "info", "version": 2},
    {"event": "subscribed", "channel": "trades", "chanId": 1, "symbol": "tBTCUSD"},
    {"event": "subscribed", "channel": "book", "chanId": 2, "symbol": "tBTCUSD", "prec": "P0", "freq": "F0", "len": "25"},
    [1, [[11, 2000, 1, 10], [10, 1000, 1, 10]]],
    [2, [[10, 1, 1], [9, 1, 1], [12, 1, -1], [13, 1, -1]]],
    [1, "hb"],
    [2, [10, 0, 1]],
    [2, [11, 1, -2]],
    [1, "te", [12, 3000, 2.8e-7, 11]],
    [2, [9, 0, 1]],
    [2, [8, 1, 1.5]],
    [1, "tu", [12, 3000, 2.8e-7, 11]],
    [1, "tu", [13, 3001, 1, 11]],
]


def independent(path: Path) -> tuple[dict[tuple[str, bool], tuple[str, str]], set[int]]:
    """The last book, by price and side, and the ids of all trades: computed with nothing of bfxtwist."""
    levels: dict[tuple[str, bool], tuple[str, str]] = {}
    ids: set[int] = set()
    kinds: dict[str, str] = {}
    for line in gzip.decompress(path.read_bytes()).splitlines():
        message = json.loads(line, parse_float=str, parse_int=str)
        if isinstance(message, dict):
            kinds[str(message.get("chanId"))] = str(message.get("channel"))
        elif message[1] == "hb":
            continue
        elif kinds[message[0]] == "trades":
            ids |= {int(row[0]) for row in (message[1] if isinstance(message[1], list) else [message[2]])}
        else:
            for price, count, amount in message[1] if isinstance(message[1][0], list) else [message[1]]:
                key = (price, amount.startswith("-"))
                if count == "0":
                    del levels[key]
                else:
                    levels[key] = (count, amount)
    return levels, ids


def levels_of(client: SocketClient) -> dict[tuple[str, bool], tuple[str, str]]:
    """The same, of a client."""
    rows = [*client.book.bids.rows, *client.book.asks.rows]
    return {(r[0].decode(), r[2].startswith(b"-")): (r[1].decode(), r[2].decode()) for r in rows}


class SmallReplayTest(SynchronousTestCase):
    """In memory."""

    def setUp(self) -> None:
        """A recording of a few lines."""
        self.path = Path(self.mktemp())
        self.path.write_text("".join(json.dumps(message) + "\n" for message in SMALL))

    def test_it_waits_for_readers_of_everything_or_loses_patience(self) -> None:
        market = ReplayMarket([self.path])
        one, ear = conversation(market)
        market.advance(100.0)
        asks(one, subscribe("tBTCUSD", "trades"))
        market.advance(101.0)
        self.assertEqual(ear.take()[1], [1, [[11, 2000, 1, 10], [10, 1000, 1, 10]]])
        asks(one, subscribe(len="100"))
        market.advance(101.1)
        self.assertTrue(market.finished)
        self.assertEqual(
            ear.take()[1:],
            [
                [2, [[10, 1, 1], [9, 1, 1], [12, 1, -1], [13, 1, -1]]],
                [2, [10, 0, 1]], [2, [11, 1, -2]], [1, "te", [12, 3000, 2.8e-7, 11]],
                [2, [9, 0, 1]], [2, [8, 1, 1.5]], [1, "tu", [12, 3000, 2.8e-7, 11]], [1, "tu", [13, 3001, 1, 11]],
            ],
        )  # fmt: skip
        alone = ReplayMarket([self.path])
        one, ear = conversation(alone)
        alone.advance(100.0)
        asks(one, subscribe("tBTCUSD", "trades"))
        alone.advance(101.9)
        self.assertFalse(alone.finished)
        alone.advance(102.0)
        self.assertTrue(alone.finished)

    def test_a_late_reader_has_what_there_is_then(self) -> None:
        market = ReplayMarket([self.path], patience=0)
        early, _ = conversation(market)
        market.advance(1.0)
        asks(early, subscribe())
        market.advance(2.0)
        late, ear = conversation(market)
        asks(late, subscribe())
        asks(late, subscribe(channel="trades"))
        told = ear.take()
        self.assertEqual(told[1], [1, [[8, 1, 1.5], [11, 1, -2], [12, 1, -1], [13, 1, -1]]])
        self.assertEqual([row[0] for row in told[3][1]], [13, 12, 11, 10])

    def test_fewer_levels_than_recorded(self) -> None:
        market = ReplayMarket([self.path], patience=0)
        one, ear = conversation(market)
        market.advance(1.0)
        asks(one, {"event": "conf", "flags": 131072})
        asks(one, subscribe(len="1"))
        market.advance(2.0)
        frames = [message for message in ear.take() if isinstance(message, list)]
        self.assertEqual(frames[0], [1, [[10, 1, 1], [12, 1, -1]]])
        first = [[10, 0, 1], [12, 0, -1], [9, 1, 1], [11, 1, -2]]
        self.assertEqual([frame[1] for frame in frames[1:-1]], [*first, [9, 0, 1], [8, 1, 1.5]])
        self.assertEqual(frames[-1][1], "cs")

    def test_history_is_what_was_played(self) -> None:
        ledger = Path(self.mktemp())
        market = ReplayMarket([self.path], speed=2, patience=0, ledger=ledger)
        one, _ = conversation(market)
        market.advance(1.0)
        asks(one, subscribe(channel="trades"))

        def played() -> list[int]:
            return [trade.id for trade in market.tape("tBTCUSD").history(Query(newest_first=False), 0)]

        seen = [played()]
        for now in (2.0, 3.0, 4.0, 5.0, 6.0):
            market.advance(now)
            seen.append(played())
        self.assertEqual(seen[0], [10, 11])
        self.assertEqual(seen[-1], [10, 11, 12, 13])
        self.assertIn([10, 11, 12], seen)
        market.stop()
        self.assertEqual([trade.id for trade in read_ledger(ledger)["tBTCUSD"]], [10, 11, 12, 13])

    def test_it_waits_for_readers_who_do_not_keep_up(self) -> None:
        market = ReplayMarket([self.path], patience=0)
        one, ear = conversation(market)
        market.advance(1.0)
        asks(one, subscribe())
        ear.choked = True
        market.advance(2.0)
        self.assertFalse(market.finished)
        ear.choked = False
        market.advance(3.0)
        self.assertTrue(market.finished)

    def test_what_was_not_recorded_is_refused(self) -> None:
        market = ReplayMarket([self.path])
        one, ear = conversation(market)
        for request in (subscribe("tETHUSD"), subscribe(prec="P1")):
            asks(one, request)
        self.assertEqual([event["msg"] for event in ear.take()], ["symbol: invalid", "precision: invalid"])


class RealReplayTest(TestCase):
    """Real recordings on real sockets."""

    timeout = 60

    async def played(self, *names: str, **book: str) -> tuple[ReplayMarket, SocketClient]:
        """What a client of the first symbol has in the end."""
        market = ReplayMarket([recording_path(name) for name in names])
        exchange = EmbeddedExchange(reactor, market)
        await exchange.start()
        self.addCleanup(exchange.stop)
        client = await connect(exchange.ws_url)
        client.ask({"event": "conf", "flags": 65536 + 131072})
        for symbol in market.symbols:
            client.ask(subscribe(symbol, "trades"))
            client.ask(subscribe(symbol, **book))
        await until(lambda: market.finished)
        return market, client

    async def test_a_real_session(self) -> None:
        levels, ids = independent(recording_path(CAPTURE))
        market, client = await self.played(CAPTURE, len="100")
        await until(lambda: levels_of(client) == levels)
        self.assertEqual(set(client.trades) | client.snapshot_ids, ids)
        self.assertEqual({trade.id for trade in market.ledger["tBTCUSD"]}, ids)
        self.assertGreater(client.matched, 100)
        self.assertEqual((client.mismatched, client.sequence_breaks, client.book.unknown_deletes), (0, [], 0))

    async def test_its_top(self) -> None:
        levels, _ = independent(recording_path(CAPTURE))
        _, client = await self.played(CAPTURE, len="25")
        await until(lambda: len(client.messages) and levels_of(client).items() <= levels.items())
        self.assertEqual(client.book.depth, 25)
        self.assertEqual((client.mismatched, client.sequence_breaks, client.book.unknown_deletes), (0, [], 0))

    async def test_real_checksums(self) -> None:
        for name, value in (("cs-tVETBTC.jsonl", 1770440002), ("cs-tXRPBTC.jsonl", 30026640)):
            _, client = await self.played(name)
            await until(lambda client=client: client.matched)  # type: ignore[misc]
            self.assertEqual(client.frames[-1][1:3], ["cs", value])
            self.assertEqual(client.mismatched, 0)
