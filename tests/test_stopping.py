"""SIGTERM and SIGINT end the daemon in whatever state they find it, with the exit code that says how it went."""

import resource
import signal
import socket
from pathlib import Path

from twisted.internet.task import deferLater

from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.running import LISTEN, TwistdProcess, WholeTest, reactor
from tests.truth import judge

EX_IOERR = 74


class Stopping(WholeTest):
    async def setUp(self) -> None:  # type: ignore[override]  # trial waits for it
        self.met = await self.exchange(SimulatedMarket(3, ("tBTCUSD",), rate=20))
        self.folder = Path(self.mktemp())

    def begin(self, exchange: EmbeddedExchange, ws_url: str | None = None) -> TwistdProcess:
        where = ("--ws-url", ws_url or exchange.ws_url, "--rest-url", exchange.rest_url, *LISTEN)
        return self.twistd("bfx", "-p", "BTC/USD", "-c", "book", "-c", "trades", "-f", str(self.folder), *where)

    async def says(self, daemon: TwistdProcess, text: str) -> None:
        await self.until(lambda: text in daemon.said or not daemon.running)
        self.assertTrue(daemon.running, daemon.said + daemon.errors)

    async def recording(self, daemon: TwistdProcess, rows: int = 40) -> None:
        path = self.folder / "trade.csv"
        await self.until(lambda: not daemon.running or (path.exists() and path.read_bytes().count(b"\n") > rows))
        self.assertTrue(daemon.running, daemon.said + daemon.errors)

    async def stops(self, daemon: TwistdProcess, number: int = signal.SIGTERM, code: int | None = None) -> None:
        """Trial's timeout is the limit. A bug on the way out would be in what it says."""
        daemon.send(number)
        self.assertEqual(await daemon.ended, -number if code is None else code, daemon.said)
        self.assertNotIn("Traceback", daemon.said + daemon.errors)

    async def test_before_it_listens(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.begin(self.met)
            await self.says(daemon, "starting up")
            await self.stops(daemon, number)

    async def test_before_the_reactor_runs(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.begin(self.met)
            await self.says(daemon, "listening on")
            await self.stops(daemon, number)

    async def test_while_it_asks_for_the_list_of_pairs(self) -> None:
        self.met.faults.set("rest-stall", "headers")
        daemon = self.begin(self.met)
        await self.says(daemon, "listening on")
        await self.stops(daemon)
        self.assertNotIn("cannot be had", daemon.said)

    async def test_while_it_connects(self) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
            address = server.getsockname()
            # Of a full queue the kernel drops what comes next, so that connecting neither succeeds nor fails.
            full = [socket.socket() for _ in range(4)]
            for one in full:
                self.addCleanup(one.close)
                one.setblocking(False)
                one.connect_ex(address)
            daemon = self.begin(self.met, f"ws://127.0.0.1:{address[1]}/ws/2")
            await self.says(daemon, "listening on")
            await deferLater(reactor, 0.5)
            await self.stops(daemon)

    async def test_while_a_handshake_hangs(self) -> None:
        self.met.faults.set("handshake", "hang")
        daemon = self.begin(self.met)
        await self.until(lambda: self.met.entrance.connects.admitted)
        await self.stops(daemon)

    async def test_while_nothing_is_said_after_the_handshake(self) -> None:
        self.met.faults.set("silence")
        daemon = self.begin(self.met)
        await self.until(lambda: self.met.entrance.connects.admitted)
        await self.stops(daemon)

    async def test_while_a_subscription_is_not_answered(self) -> None:
        self.met.faults.set("no-ack")
        daemon = self.begin(self.met)
        await self.until(lambda: self.met.entrance.connects.admitted)
        await deferLater(reactor, 0.5)
        await self.stops(daemon)

    async def test_while_trades_wait_for_history(self) -> None:
        first = self.begin(self.met)
        await self.recording(first)
        await self.stops(first)
        self.met.faults.set("rest-stall", "body")
        connects = self.met.entrance.connects.admitted
        second = self.begin(self.met)
        await self.until(lambda: self.met.entrance.connects.admitted > connects)
        await deferLater(reactor, 0.5)
        await self.stops(second)
        self.assertEqual(judge(self.met.ledger["tBTCUSD"], self.folder / "trade.csv").twice, [])

    async def test_while_it_waits_to_connect_again(self) -> None:
        daemon = self.begin(self.met, "ws://127.0.0.1:1/ws/2")
        await self.says(daemon, "again in")
        await self.stops(daemon)

    async def test_while_everything_is_live(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.begin(self.met)
            await self.recording(daemon)
            await self.stops(daemon, number)

    async def test_twice_told(self) -> None:
        daemon = self.begin(self.met)
        await self.recording(daemon)
        daemon.send(signal.SIGTERM)
        await self.stops(daemon)

    async def test_while_the_disk_is_full(self) -> None:
        """What could not be written is an exit code and a line, and the next start makes the file whole."""
        daemon = self.begin(self.met)
        await self.recording(daemon)
        path = self.folder / "trade.csv"
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (path.stat().st_size + 300, resource.RLIM_INFINITY))
        await deferLater(reactor, 2.0)
        await self.stops(daemon, code=EX_IOERR)
        self.assertIn("rows could not be written", daemon.said)
        again = self.begin(self.met)
        await self.recording(again)
        self.met.faults.set("quiet")
        await self.until(lambda: judge(self.met.ledger["tBTCUSD"], path).equal)
        await self.stops(again)
        self.assertTrue(judge(self.met.ledger["tBTCUSD"], path).equal)
