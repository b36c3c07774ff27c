"""The whole exchange on real sockets: it starts, serves and is gone."""

import json

import treq
from twisted.internet.endpoints import TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock, LoopingCall
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from bfxtwist.exchange.embedded import REAL_LIMITS, EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits
from tests.exchange.clients import connect, fired, reactor, subscribe, until


class EmbeddedTest(TestCase):
    """Real sockets."""

    timeout = 20

    async def exchange(self, market: SimulatedMarket | None = None, limits: Limits | None = None) -> EmbeddedExchange:
        """One that runs until the test is over."""
        exchange = EmbeddedExchange(reactor, market or SimulatedMarket(rate=10), limits=limits)
        await exchange.start()
        self.addCleanup(exchange.stop)
        return exchange

    async def test_a_book_that_verifies_and_trades_that_are_in_the_ledger(self) -> None:
        exchange = await self.exchange(SimulatedMarket(pairs=["tBTCUSD", "tVETBTC"], rate=20))
        for symbol in exchange.market.symbols:
            client = await connect(exchange.ws_url)
            client.ask({"event": "conf", "flags": 65536 + 32768 + 131072})
            client.ask(subscribe(symbol))
            client.ask(subscribe(symbol, "trades"))
            await until(lambda client=client: client.matched > 3 and len(client.trades) > 3)  # type: ignore[misc]
            self.assertEqual((client.mismatched, client.sequence_breaks, client.undecodable), (0, [], []))
            ledger = {trade.id: trade for trade in exchange.ledger[symbol]}
            for message in client.trades.values():
                self.assertEqual(message.trade, ledger[message.trade.id])

    async def test_rest_is_on_the_same_port(self) -> None:
        exchange = await self.exchange()
        answer = await treq.get(f"{exchange.rest_url}/platform/status", persistent=False)
        self.assertEqual((answer.code, await answer.json()), (200, [1]))
        self.assertEqual(exchange.ws_url.replace("ws:", "http:").replace("/ws/2", "/v2"), exchange.rest_url)

    async def test_no_two_channels_have_one_id(self) -> None:
        exchange = await self.exchange()
        ids = [exchange._new_channel_id() for _ in range(100_000)]
        self.assertEqual(len(set(ids)), len(ids))
        self.assertTrue(0 < min(ids) < 1000)

    async def test_nobody_who_says_nothing_stays(self) -> None:
        exchange = await self.exchange(limits=Limits(idle_seconds=0.5))
        idle, busy, pinging = [await connect(exchange.ws_url) for _ in range(3)]
        busy.ask(subscribe())
        pings = LoopingCall(pinging.sendPing)
        pings.start(0.1)
        self.addCleanup(pings.stop)
        await until(lambda: idle.closed)
        later = await connect(exchange.ws_url)
        await until(lambda: later.closed)
        self.assertFalse(busy.closed or pinging.closed)
        self.assertFalse(idle.wasClean)
        self.assertIsNone(idle.remoteCloseCode)

    async def test_the_heart_beats_on_every_channel(self) -> None:
        market = SimulatedMarket()
        market.faults.set("quiet")
        exchange = await self.exchange(market, Limits(heartbeat_seconds=0.1))
        client = await connect(exchange.ws_url)
        client.ask(subscribe())
        client.ask(subscribe(channel="trades"))
        await until(lambda: len(client.frames) >= 6)
        channels = {event["chanId"] for event in client.events if event["event"] == "subscribed"}
        self.assertEqual(sorted(client.frames[2:4]), sorted([channel, "hb"] for channel in channels))

    async def test_too_many_connects_are_turned_away_with_429(self) -> None:
        exchange = await self.exchange(limits=Limits(connects_per_minute=2))
        clients = [await connect(exchange.ws_url) for _ in range(4)]
        self.assertEqual([client.opened for client in clients], [True, True, False, False])
        self.assertIn("429", clients[2].http_status_line)
        self.assertEqual(exchange.entrance.connects.breaches, 2)

    async def test_a_protocol_level_ping_is_answered(self) -> None:
        exchange = await self.exchange()
        client = await connect(exchange.ws_url)
        pongs: list[bytes] = []
        client.onPong = pongs.append
        client.sendPing(b"hello")
        await until(lambda: pongs)
        self.assertEqual(pongs, [b"hello"])

    async def test_a_request_too_long_ends_its_connection_alone(self) -> None:
        exchange = await self.exchange()
        long, other = await connect(exchange.ws_url), await connect(exchange.ws_url)
        long.sendMessage(json.dumps({"event": "x" * 100_000}).encode())
        await until(lambda: long.closed)
        other.ask({"event": "ping", "cid": 1})
        await until(lambda: other.event("pong"))

    async def test_stopped_in_the_middle_of_everything(self) -> None:
        exchange = await self.exchange()
        client = await connect(exchange.ws_url)
        client.ask(subscribe())
        await until(lambda: client.frames)
        exchange.faults.set("rest-stall", "headers")
        stalled = treq.get(f"{exchange.rest_url}/platform/status", persistent=False)
        stalled.addErrback(lambda _: None)
        exchange.faults.set("late-ack", 10)
        client.ask(subscribe(prec="P1"))
        client.ask({"event": "ping"})
        await until(lambda: client.event("pong"))
        await exchange.stop()
        await until(lambda: client.closed)
        await stalled

    async def test_a_port_in_use_raises_at_once(self) -> None:
        exchange = await self.exchange()
        second = EmbeddedExchange(reactor, SimulatedMarket(), port=exchange.port)
        with self.assertRaises(CannotListenError):
            second.privilegedStartService()
        await second.stop()


class ServiceTest(SynchronousTestCase):
    """In memory."""

    def test_its_urls_are_where_it_listens(self) -> None:
        reactor = MemoryReactorClock()
        endpoint = TCP6ServerEndpoint(reactor, 9999, interface="::1")
        exchange = EmbeddedExchange(reactor, SimulatedMarket(), endpoint=endpoint)
        exchange.start()
        self.assertRegex(exchange.ws_url, r"^ws://\[::1\]:[0-9]+/ws/2$")
        self.assertEqual(exchange.rest_url, f"http://{exchange.place}/v2")

    def test_no_port_before_the_start(self) -> None:
        with self.assertRaises(ValueError):
            EmbeddedExchange(MemoryReactorClock(), SimulatedMarket()).ws_url  # noqa: B018

    def test_a_service_listens_once_and_lives_by_the_reactors_clock(self) -> None:
        clock = MemoryReactorClock()
        market = SimulatedMarket()
        exchange = EmbeddedExchange(clock, market, limits=REAL_LIMITS, wall=lambda: 1_800_000_000.0)
        exchange.privilegedStartService()
        exchange.startService()
        self.assertEqual(len(clock.tcpServers), 1)
        before = len(market.ledger["tBTCUSD"])
        clock.pump([0.01] * 2000)
        self.assertEqual(exchange.now(), 1_800_000_000.0 + clock.seconds())
        self.assertGreater(len(market.ledger["tBTCUSD"]), before)
        assert isinstance(clock, Clock)
        self.assertTrue(fired(exchange.stopService(), clock))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_market_that_stumbles_goes_on(self) -> None:
        clock = MemoryReactorClock()
        market = SimulatedMarket()
        exchange = EmbeddedExchange(clock, market)
        exchange.startService()
        full = OSError(28, "No space left on device")
        record = market.ledger.record
        self.patch(market.ledger, "record", lambda *_: (_ for _ in ()).throw(full))
        clock.pump([0.1] * 50)
        self.assertEqual([failure.value for failure in self.flushLoggedErrors(OSError)][:2], [full, full])
        self.patch(market.ledger, "record", record)
        before = len(market.ledger["tBTCUSD"])
        clock.pump([0.1] * 50)
        self.assertGreater(len(market.ledger["tBTCUSD"]), before)
        self.assertTrue(fired(exchange.stopService(), clock))
