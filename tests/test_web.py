"""Everything that is served is on one site, behind one guard, and tells of every part."""

import json
import resource
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families as parse
from twisted.internet.defer import maybeDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

import bfxtwist.web
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.moment import Moment
from bfxtwist.core.trade_rows import HEADER
from bfxtwist.core.uplink_status import UplinkStatus
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.out.metrics import Metrics
from bfxtwist.settings import feed, settings
from bfxtwist.web import Web
from tests.out.relayed import RelayClient
from tests.out.served import START, Client, Response, carry, live_book
from tests.out.told import UPLINK, Told, at_once
from tests.running import WholeTest, books, recordings

ROW = b"bitfinex,BTCUSD,1790134415850000,1790134415850123,401597395,buy,6443.1,0.00265425\n"


class Files:
    """What the site asks of the recorders."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wrong: str | None = None

    def file(self, symbol: str) -> Path | None:
        return self.path if symbol == "tBTCUSD" else None

    def status(self) -> dict[str, Any]:
        return {"tBTCUSD": {"rows_written": 7}}

    def not_ready(self) -> str | None:
        return self.wrong

    def figures(self) -> Iterable[Metric]:
        return [GaugeMetricFamily("files", "Told by the recorders.", 7)]


class Serving(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(bfxtwist.web, "Metrics", lambda in_turns: Metrics(at_once, maybeDeferred))
        self.reactor = MemoryReactorClock()
        self.market = Market()
        self.book = live_book(self.market)
        carry(self.market, "tBTCUSD", ChannelName.TRADES)
        self.files = Files(Path(self.mktemp()))
        self.files.path.write_bytes(HEADER + ROW)
        self.uplink: UplinkStatus | None = UPLINK

    def moment(self) -> Moment:
        return Moment(self.reactor.seconds(), START + int(self.reactor.seconds() * 1_000_000))

    def web(self, **more: Any) -> Web:
        where = {"listen": "tcp:8080:interface=127.0.0.1", **more}
        chosen = settings(feeds=[feed(pair="BTC/USD", channel="book")], **where)
        files: Any = self.files
        return Web(self.reactor, chosen, self.market, files, moment=self.moment, connections=lambda: self.uplink)

    def served(self, **more: Any) -> Web:
        web = self.web(**more)
        web.privilegedStartService()
        web.startService()
        return web

    def get(self, path: str, *headers: str, **more: str) -> Response:
        site: Any = self.reactor.tcpServers[-1][1]
        return Client(site).get(path, *headers, **more)

    def test_what_is_there(self) -> None:
        self.served()
        for path, kind in (
            ("/", "text/html"),
            ("/book", "application/json"),
            ("/books", "application/json"),
            ("/trades", "application/json"),
            ("/status", "application/json"),
            ("/openapi.json", "application/json"),
            ("/metrics", "text/plain"),
        ):
            response = self.get(path)
            self.assertEqual((response.status, response.headers["Content-Type"].split(";")[0]), (200, kind), path)

    def test_the_trades_are_those_of_the_file(self) -> None:
        self.served()
        self.assertEqual([trade["id"] for trade in json.loads(self.get("/trades").body)["trades"]], ["401597395"])

    def test_each_part_tells_how_it_is(self) -> None:
        self.served()
        told = json.loads(self.get("/status").body)
        self.assertEqual((told["feed"], told["recorders"]), (msgspec.to_builtins(UPLINK), self.files.status()))
        self.assertEqual(told["relay"]["connections"], 0)

    def test_before_there_are_connections(self) -> None:
        """While it asks for the list of pairs, which may take long."""
        self.served()
        self.uplink = None
        self.assertEqual(json.loads(self.get("/status").body)["feed"], {})
        self.assertIn("\nbfxtwist_connections_wanted 0.0\n", self.get("/metrics").body.decode())

    def test_who_does_not_record_is_not_ready(self) -> None:
        self.served()
        self.market.forget(self.market.trades["tBTCUSD"].subscription)
        self.assertEqual(self.get("/readyz").status, 200)
        self.files.wrong = "tBTCUSD: No space left on device"
        response = self.get("/readyz")
        self.assertEqual(response.status, 503)
        self.assertIn("No space left on device", response.body.decode())

    def test_the_lag_is_looked_at_each_second(self) -> None:
        self.served()
        for milliseconds in (40, 70, 90):
            self.book.seen(self.moment().wall // 1000 - milliseconds, self.moment())
            self.reactor.advance(1)
        text = self.get("/metrics").body.decode()
        self.assertIn('bfxtwist_exchange_lag_seconds_count{channel="book",pair="BTC/USD"} 3.0', text)
        self.assertIn("\nfiles 7.0\n", text)

    def test_clients_leave_files_to_the_daemon(self) -> None:
        """Else a thousand of them would have kept it from rotating its files, and from connecting again."""
        unlimited = resource.RLIM_INFINITY
        for files, http, relay in ((256, 64, 64), (1024, 256, 256), (4096, 1000, 1024), (unlimited, 1000, 1024)):
            self.patch(resource, "getrlimit", lambda which, files=files: (files, unlimited))
            web = self.served()
            site: Any = self.reactor.tcpServers[-1][1]
            self.assertEqual((site.limits.connections, web.relay.limits.connections), (http, relay), files)

    # --- who may ask ------------------------------------------------------------------------------------------

    def test_a_token_is_asked_for_everywhere(self) -> None:
        path = Path(self.mktemp())
        path.write_text("0123456789abcdef")
        path.chmod(0o600)
        self.served(token_file=str(path))
        for asked in ("/", "/book", "/trades", "/metrics", "/status", "/openapi.json", "/ws/2"):
            self.assertEqual(self.get(asked).status, 401, asked)
        self.assertEqual(self.get("/book", "Authorization: Bearer 0123456789abcdef").status, 200)

    def test_a_token_file_that_cannot_be_used(self) -> None:
        path = Path(self.mktemp())
        path.write_text("0123456789abcdef")
        path.chmod(0o644)
        self.assertIn("chmod 600", str(self.assertRaises(ValueError, self.web, token_file=str(path))))

    def test_a_token_that_is_written_anew(self) -> None:
        """One that cannot be used lets nobody in and shuts nobody out."""
        path = Path(self.mktemp())
        path.write_text("0123456789abcdef")
        path.chmod(0o600)
        web = self.served(token_file=str(path), allow_hosts=["bfx.example"])
        for written, asked_for in (("short", "0123456789abcdef"), ("fedcba9876543210", "fedcba9876543210")):
            path.write_text(written)
            web.renew()
            for token in (asked_for, written):
                response = self.get("/book", f"Authorization: Bearer {token}", host="bfx.example")
                self.assertEqual(response.status, 200 if token == asked_for else 401)
        self.assertEqual(self.get("/book", host="evil.example").status, 421)

    def test_names_and_origins_that_are_allowed(self) -> None:
        self.served()
        self.assertEqual(self.get("/book", host="bfx.example").status, 421)
        self.served(allow_hosts=["bfx.example"], allow_origins=["https://desk.example"])
        response = self.get("/book", "Origin: https://desk.example", host="bfx.example")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["Access-Control-Allow-Origin"], "https://desk.example")

    # --- start and stop ---------------------------------------------------------------------------------------

    def test_every_address(self) -> None:
        web = self.served(listen=["tcp:8080:interface=127.0.0.1", "tcp:8081:interface=127.0.0.1"])
        self.assertEqual([server[:1] for server in self.reactor.tcpServers], [(8080,), (8081,)])
        self.assertEqual(len(web.addresses), 2)

    def test_readers_of_the_relay_are_told_that_it_ends(self) -> None:
        """And are waited for; meanwhile others may still ask how it is."""
        web = self.served()
        relayed: Any = SimpleNamespace(site=self.reactor.tcpServers[-1][1])
        reader = RelayClient(relayed)
        [info] = reader.take()
        self.assertEqual(info["event"], "info")
        stopped = web.stopService()
        self.assertEqual(reader.take()[0]["code"], 20051)
        self.assertNoResult(stopped)
        self.assertTrue(web.http.running)
        reader.say(b"\x03\xe9", opcode=8)
        self.reactor.advance(0)
        self.successResultOf(stopped)

    def test_nothing_is_left_on_the_clock(self) -> None:
        self.successResultOf(self.served().stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class Whole(WholeTest):
    async def test_the_daemon_tells_every_metric(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ["tBTCUSD"], rate=20))
        running = await self.daemon(exchange, [*books("BTC/USD"), *recordings(Path(self.mktemp()), "BTC/USD")])
        _, body = await running.get("/metrics")
        names = {family.name for family in parse(body.decode())}
        self.assertLessEqual({name for name in Told().families() if name.startswith("bfxtwist_")}, names)
