"""`twistd bfx` as a user starts it: a process of its own, its outputs, its exit codes, its signals."""

import json
import os
import signal
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import treq
import trustme
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.utils import getProcessOutputAndValue

from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.running import LISTEN, ROOT, TwistdProcess, WholeTest, at, books, ids, reactor


async def get(url: str) -> Any:
    answer = await treq.get(url, persistent=False)
    return json.loads(await answer.content())


class Datagrams(DatagramProtocol):
    """What systemd would hear."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        self.words.append(datagram.decode())


class CommandTest(WholeTest):
    async def an_exchange(self, *symbols: str) -> tuple[EmbeddedExchange, tuple[str, ...]]:
        exchange = await self.exchange(SimulatedMarket(7, symbols or ("tBTCUSD", "tETHUSD"), rate=10))
        return exchange, at(exchange)


class Mistakes(CommandTest):
    async def one_line(self, code: int, *words: str, in_log: bool = False) -> str:
        process = self.twistd("bfx", *words)
        self.assertEqual(await process.ended, code, process.said + process.errors)
        if in_log:
            [line] = [line for line in process.said.splitlines() if " critical " in line]
            return line
        [line] = process.errors.splitlines()
        return line

    async def test_on_the_command_line(self) -> None:
        self.assertIn("add --pair BTC/USD", await self.one_line(64))
        self.assertIn("add --file-path", await self.one_line(64, "-p", "BTC/USD", "-c", "trades"))
        self.assertIn("did you mean book?", await self.one_line(64, "-p", "BTC/USD", "-c", "boook"))

    async def test_a_port_in_use(self) -> None:
        exchange, _ = await self.an_exchange()
        taken = f"tcp:{exchange.port}:interface=127.0.0.1"
        line = await self.one_line(1, "-p", "BTC/USD", "-c", "book", "--demo", "--listen", taken)
        self.assertIn("choose another --listen", line)

    async def test_once_where_the_log_and_errors_are_seen_together(self) -> None:
        exchange, where = await self.an_exchange()
        words = ("bfx", "-p", "BTC/USD", "-c", "book", *where, "--listen", f"tcp:{exchange.port}:interface=127.0.0.1")
        process = self.twistd(*words, within=("sh", "-c", 'exec "$0" "$@" 2>&1'))
        self.assertEqual(await process.ended, 1)
        self.assertEqual(process.said.count("choose another --listen"), 1, process.said)

    async def test_a_pair_that_rest_does_not_list(self) -> None:
        _, where = await self.an_exchange("tBTCUSD", "tDOGE:USD")
        line = await self.one_line(78, "-p", "DOGGE/USD", "-c", "book", *where, in_log=True)
        self.assertIn("did you mean DOGE/USD?", line)

    async def test_a_pair_that_is_refused_when_rest_does_not_answer(self) -> None:
        _, where = await self.an_exchange("tBTCUSD")
        where = (*where, "--rest-url", "http://127.0.0.1:1/v2")
        line = await self.one_line(78, "-p", "BTX/USD", "-c", "book", *where, in_log=True)
        self.assertIn("refuses BTX/USD book", line)
        self.assertIn("10300", line)
        self.assertRegex(line, "did you mean .*BTC/USD")

    async def test_a_book_that_the_relay_of_another_daemon_has_not_so(self) -> None:
        exchange, where = await self.an_exchange()
        running = await self.daemon(exchange, books("BTC/USD"))
        relay = running.daemon.web.addresses[0].replace("http", "ws") + "/ws/2"
        words = ("-p", "BTC/USD", "-c", "book", "--ws-url", relay, *where[2:])
        for name, other in (("precision", "P1"), ("length", "100")):
            line = await self.one_line(78, *words, f"--{name}", other, in_log=True)
            self.assertIn(f"refuses BTC/USD book: {name}: invalid (10300); choose another --{name} than {other}", line)

    async def test_a_file_that_another_daemon_has(self) -> None:
        _, where = await self.an_exchange()
        words = ("bfx", "-p", "BTC/USD", "-c", "trades", "-f", self.mktemp(), *where)
        first = self.twistd(*words)
        await self.is_ready(first)
        line = await self.one_line(75, *words[1:])
        self.assertIn("trade.csv", line)
        self.assertIn(str(first.pid), line)


class Running(CommandTest):
    def _has_said(self, daemon: TwistdProcess, words: str, times: int) -> bool:
        return daemon.said.count(words) == times

    async def test_the_log_as_json(self) -> None:
        _, where = await self.an_exchange()
        daemon = self.twistd("bfx", "-p", "BTC/USD", "-c", "book", "--log-format", "json", *where)
        await self.until(lambda: "live: BTC/USD book" in daemon.said or not daemon.running)
        daemon.send(signal.SIGTERM)
        await daemon.ended
        events = [json.loads(line) for line in daemon.said.splitlines()]
        messages = [event["message"] for event in events]
        self.assertIn("live: BTC/USD book", messages)
        self.assertIn("Received SIGTERM, shutting down.", messages)
        self.assertEqual({event["level"] for event in events}, {"info"})
        self.assertNotIn("starting on", daemon.said)

    async def test_the_log_in_a_file(self) -> None:
        path = Path(self.mktemp()).absolute()
        daemon = self.twistd(f"--logfile={path}", "bfx", "-p", "BTC/USD", "-c", "book", "--demo", *LISTEN)
        await self.until(lambda: not daemon.running or (path.exists() and "live: BTC/USD" in path.read_text()))
        self.assertEqual(daemon.said, "")
        self.assertIn("the demo's exchange: ws://127.0.0.1:", path.read_text())

    async def test_in_the_background_the_log_says_why_it_did_not_start(self) -> None:
        exchange, _ = await self.an_exchange()
        path = Path(self.mktemp()).absolute()
        taken = f"tcp:{exchange.port}:interface=127.0.0.1"
        words = ["--pidfile=", f"--logfile={path}", "bfx", "-p", "BTC/USD", "-c", "book", "--demo", "--listen", taken]
        twistd, environ = Path(sys.executable).with_name("twistd"), {**os.environ, "PYTHONPATH": str(ROOT)}
        _, _, code = await getProcessOutputAndValue(str(twistd), words, environ)
        self.assertEqual(code, 1)
        self.assertIn(f"cannot listen on {taken} (Address already in use): choose another --listen", path.read_text())

    async def test_the_lock_goes_into_the_background(self) -> None:
        """Over twistd's fork. A pid file that is a dead process' hinders nobody."""
        _, where = await self.an_exchange()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        dead = self.twistd("--version")
        log, pid_file, dead_pid = folder / "log", folder / "pid", dead.pid
        await dead.ended
        pid_file.write_text(str(dead_pid))
        words = ("bfx", "-p", "BTC/USD", "-c", "trades", "-f", str(folder), *where)
        twistd, environ = Path(sys.executable).with_name("twistd"), {**os.environ, "PYTHONPATH": str(ROOT)}
        own = [f"--pidfile={pid_file}", f"--logfile={log}"]
        _, _, code = await getProcessOutputAndValue(str(twistd), [*own, *words], environ)
        pid = int(pid_file.read_text())
        self.addCleanup(lambda: os.kill(pid, signal.SIGKILL) if pid_file.exists() else None)
        self.assertEqual(code, 0)
        await self.until(lambda: "live: BTC/USD trades" in log.read_text())
        second = self.twistd(*words)
        self.assertEqual(await second.ended, 75)
        self.assertIn(f"trade.csv.lock is locked by pid {pid}: ", second.errors + second.said)
        os.kill(pid, signal.SIGTERM)
        await self.until(lambda: not pid_file.exists())
        third = self.twistd(*words)
        await self.is_ready(third)

    async def test_a_systemd_unit_is_told(self) -> None:
        _, where = await self.an_exchange()
        heard = Datagrams()
        with TemporaryDirectory() as folder:  # not trial's: the name of a socket has at most 107 bytes
            port = reactor.listenUNIXDatagram(f"{folder}/notify", heard)
            self.addCleanup(port.stopListening)
            environ = {"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "300000"}
            daemon = self.twistd("bfx", "-p", "BTC/USD", "-c", "book", *where, environ=environ)
            await self.until(lambda: heard.words.count("WATCHDOG=1") > 2)
            await self.until(lambda: "STATUS=1 of 1 feeds live" in heard.words)
            daemon.send(signal.SIGHUP)
            await self.until(lambda: heard.words.count("READY=1") == 2)
            daemon.send(signal.SIGTERM)
            await daemon.ended
        told = [word.split("\n")[0] for word in heard.words if not word.startswith(("WATCHDOG", "STATUS"))]
        self.assertEqual(told, ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"])

    async def test_two_daemons_side_by_side(self) -> None:
        _, where = await self.an_exchange()
        pairs = ("BTC/USD", "ETH/USD")
        daemons = [self.twistd("bfx", "-p", pair, "-c", "book", *where) for pair in pairs]
        for pair, daemon in zip(pairs, daemons, strict=True):
            book = await get(f"{await self.is_ready(daemon)}/book")
            self.assertEqual((book["symbol"], book["status"]), (pair, "live"))

    async def test_sigterm_leaves_a_whole_file(self) -> None:
        exchange, where = await self.an_exchange()
        folder = Path(self.mktemp())
        daemon = self.twistd("bfx", "-p", "BTC/USD", "-c", "trades", "-f", str(folder), *where)
        await self.is_ready(daemon)
        path = folder / "trade.csv"
        await self.until(lambda: len(ids(path)) > 40)
        exchange.faults.set("quiet")
        daemon.send(signal.SIGTERM)
        self.assertEqual(await daemon.ended, -signal.SIGTERM)
        written = ids(path)
        self.assertTrue(path.read_text().endswith("\n"))
        self.assertEqual(len(written), len(set(written)))
        told = [trade.id for trade in exchange.ledger["tBTCUSD"]]
        self.assertEqual(written, told[told.index(written[0]) : told.index(written[-1]) + 1])

    async def test_a_restart_goes_on_in_the_same_file(self) -> None:
        exchange, where = await self.an_exchange()
        folder = Path(self.mktemp())
        words = ("bfx", "-p", "BTC/USD", "-c", "trades", "-f", str(folder), *where)
        for _ in range(3):
            daemon = self.twistd(*words)
            await self.is_ready(daemon)
            daemon.send(signal.SIGTERM)
            await daemon.ended
        written = ids(folder / "trade.csv")
        told = [trade.id for trade in exchange.ledger["tBTCUSD"] if written[0] <= trade.id <= max(written)]
        self.assertEqual(sorted(written), told)

    async def test_sighup_reads_the_settings_again(self) -> None:
        _, where = await self.an_exchange()
        config = Path(self.mktemp())
        book = '[[feed]]\npair = "{}"\nchannel = "book"\n'
        config.write_text(book.format("BTC/USD"))
        daemon = self.twistd("bfx", "--config", str(config.absolute()), *where)
        url = await self.is_ready(daemon)
        since = (await get(f"{url}/books"))["books"][0]["since"]

        config.write_text(book.format("BTC/USD") + book.format("ETH/USD"))
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "read again" in daemon.said)
        await self.is_ready(daemon)
        books = (await get(f"{url}/books"))["books"]
        self.assertEqual([(one["symbol"], one["status"]) for one in books], [("BTC/USD", "live"), ("ETH/USD", "live")])
        self.assertEqual(books[0]["since"], since, "the book that was there was disturbed")

        config.write_text(book.format("ETH/USD") + "lenght = 5\n")
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "did you mean length?" in daemon.said)
        self.assertEqual(len((await get(f"{url}/books"))["books"]), 2)

        config.write_text(book.format("ETH/USD"))
        daemon.send(signal.SIGHUP)
        await self.until(lambda: daemon.said.count("read again") == 2)
        self.assertEqual([one["symbol"] for one in (await get(f"{url}/books"))["books"]], ["ETH/USD"])

    async def test_sighup_changes_all_that_was_asked_or_nothing(self) -> None:
        _, where = await self.an_exchange()
        config, taken = Path(self.mktemp()), Path(self.mktemp())
        feed = '[[feed]]\npair = "{}"\nchannel = "{}"\n{}\n'
        book = feed.format("BTC/USD", "book", "length = 25")
        config.write_text(book)
        daemon = self.twistd("bfx", "--config", str(config.absolute()), *where)
        url = await self.is_ready(daemon)

        taken.touch()  # a file, where a folder is wanted
        files = [feed.format(pair, "trades", f'file_path = "{path}"') for pair, path in
                 (("BTC/USD", Path(self.mktemp()).absolute()), ("ETH/USD", taken.absolute()))]  # fmt: skip
        config.write_text(book + "".join(files))
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "settings are not changed" in daemon.said)
        self.assertEqual([one["channel"] for one in (await get(f"{url}/status"))["feeds"]], ["book"])

        config.write_text(book.replace("25", "100") + files[0])
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "read again" in daemon.said)
        await self.is_ready(daemon)
        self.assertEqual([one["length"] for one in (await get(f"{url}/books"))["books"]], [100])
        self.assertEqual([one["channel"] for one in (await get(f"{url}/status"))["feeds"]], ["book", "trades"])

    async def test_sighup_with_a_mistyped_pair_changes_nothing(self) -> None:
        _, where = await self.an_exchange()
        config, folder = Path(self.mktemp()), Path(self.mktemp()).absolute()
        feed = '[[feed]]\npair = "{}"\nchannel = {}\n'
        config.write_text(feed.format("BTC/USD", '"book"'))
        daemon = self.twistd("bfx", "--config", str(config.absolute()), *where)
        url = await self.is_ready(daemon)

        both = f'["book", "trades"]\nfile_path = "{folder}"\n'
        config.write_text(feed.format("BTC/USD", '"book"') + feed.format("ETX/USD", both))
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "not changed" in daemon.said)
        self.assertIn("did you mean ETH/USD", daemon.said)
        self.assertEqual([one["symbol"] for one in (await get(f"{url}/books"))["books"]], ["BTC/USD"])
        self.assertFalse(folder.exists())

        for times in range(2, 6):  # however often the answer is the same, it is given
            daemon.send(signal.SIGHUP)
            await self.until(partial(self._has_said, daemon, "not changed", times))

    async def test_sighup_tells_what_waits_for_the_next_start(self) -> None:
        _, where = await self.an_exchange()
        config, folder = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        feed = f'[[feed]]\npair = {{}}\nchannel = "trades"\nfile_path = "{folder}"\n'
        config.write_text(feed.format('"BTC/USD"'))
        daemon = self.twistd("bfx", "--config", str(config), *where)
        await self.is_ready(daemon)

        config.write_text('sync = "always"\nrotate = "daily"\n' + feed.format('["BTC/USD", "ETH/USD"]'))
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "next start, then" in daemon.said)
        self.assertIn("changed, but only from the next start on: rotate, sync\n", daemon.said)
        self.assertIn(f"{folder}/trade.csv is written until the next start, then {folder}/BTC-USD/trade.csv", daemon.said)
        await self.until((folder / "ETH-USD" / "trade.csv").exists)

    async def test_sighup_does_not_put_two_pairs_into_one_file(self) -> None:
        _, where = await self.an_exchange()
        config, folder = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        feed = f'[[feed]]\npair = "{{}}"\nchannel = "trades"\nfile_path = "{folder}"\n'
        config.write_text(feed.format("BTC/USD"))
        daemon = self.twistd("bfx", "--config", str(config), *where)
        await self.is_ready(daemon)
        config.write_text(feed.format("ETH/USD"))
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "not changed" in daemon.said)
        self.assertIn("has the trades of BTC/USD: name another folder for ETH/USD", daemon.said)

    async def test_sighup_without_a_file_says_what_it_did(self) -> None:
        _, where = await self.an_exchange()
        daemon = self.twistd("bfx", "-p", "BTC/USD", "-c", "book", *where)
        await self.is_ready(daemon)
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "there is no --config" in daemon.said)

    async def test_sighup_reads_the_certificate_again(self) -> None:
        """Without --config, too."""
        pem = Path(self.mktemp()).absolute()
        authority = trustme.CA()

        def issue(year: int) -> str:
            certificate = authority.issue_cert("localhost", not_after=datetime(year, 12, 31, tzinfo=UTC))
            certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
            return f"is good until {year}-12-31 00:00:00+00:00"

        said = issue(2090)
        listen = f"ssl:0:interface=127.0.0.1:privateKey={pem}"
        daemon = self.twistd("bfx", "-p", "BTC/USD", "-c", "book", "--demo", "--listen", listen)
        await self.until(lambda: said in daemon.said or not daemon.running)
        renewed = issue(2091)
        daemon.send(signal.SIGHUP)
        await self.until(lambda: renewed in daemon.said or not daemon.running)
        pem.write_bytes(pem.read_bytes()[:-200])
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "error    SIGHUP: the old certificate stays: --listen" in daemon.said)
        self.assertTrue(daemon.running)

    async def test_the_demo(self) -> None:
        daemon = self.twistd("bfx", "-p", "BTC/USD", "-c", "book", "--demo", *LISTEN)
        self.assertEqual((await get(f"{await self.is_ready(daemon)}/book"))["status"], "live")

    async def test_twist_has_it_too(self) -> None:
        """With signals and exit codes, though it has no privileged start."""
        words = ("bfx", "-p", "BTC/USD", "-c", "trades", "-f", self.mktemp(), "--demo", *LISTEN)
        daemon = self.twistd(*words, command="twist")
        await self.is_ready(daemon)
        daemon.send(signal.SIGHUP)
        await self.until(lambda: "there is no --config" in daemon.said or not daemon.running)
        self.assertTrue(daemon.running, daemon.said + daemon.errors)
        second = self.twistd(*words, command="twist")
        self.assertEqual(await second.ended, os.EX_TEMPFAIL, second.said + second.errors)
        [line] = second.errors.splitlines()  # once
        self.assertIn(f"is locked by pid {daemon.pid}", line)

    async def test_the_exchange_runs_alone(self) -> None:
        exchange = self.twistd("bfx-exchange", "--listen", "tcp:0:interface=127.0.0.1", "--pair", "LTC/USD")
        await self.until(lambda: "starting on" in exchange.said or not exchange.running)
        port = exchange.said.split("starting on ")[1].split()[0]
        where = ("--ws-url", f"ws://127.0.0.1:{port}/ws/2", "--rest-url", f"http://127.0.0.1:{port}/v2", *LISTEN)
        daemon = self.twistd("bfx", "-p", "LTC/USD", "-c", "book", *where)
        self.assertEqual((await get(f"{await self.is_ready(daemon)}/book"))["symbol"], "LTC/USD")
