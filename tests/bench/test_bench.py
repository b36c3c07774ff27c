"""The harness itself, on a tiny workload: every part that needs nothing installed, and no time looked at."""

import os
import signal
import socket
import time
from itertools import groupby
from pathlib import Path
from threading import Timer
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import BookUpdate, Checksum, Rows
from bfxtwist.core.raw_book import book_of
from bfxtwist.core.wire import decode
from tests.bench import checksums, paced, servers, streams
from tests.bench.__main__ import RECORDING, failures
from tests.bench.contestants import BFXTWIST, CONTESTANTS, Running
from tests.bench.http_load import Load
from tests.bench.plot import svg
from tests.bench.replay import Replay, Sent
from tests.bench.report import table
from tests.bench.script import Workload, script
from tests.bench.symbols import symbols
from tests.bench.targets import verdicts
from tests.recordings import recording_path

FLOOR = next(one for one in CONTESTANTS if one.name == "floor")


class Scripts(SynchronousTestCase):
    """What is sent is what an exchange could send."""

    def test_every_checksum_is_right(self) -> None:
        for workload in (Workload("b", messages=600), Workload("r", precision="R0", messages=600)):
            made = script(workload)
            book = book_of(workload.precision)
            snapshot = decode(b"[1,%b]" % made.snapshots["tBTCUSD"])
            assert isinstance(snapshot, Rows)
            book.load(snapshot.rows)
            verified = 0
            for _symbol, body in made.bodies:
                message = decode(b"[1,%b]" % body)
                if isinstance(message, Checksum):
                    self.assertEqual(message.value, book.checksum())
                    verified += 1
                else:
                    assert isinstance(message, BookUpdate)
                    book.apply(message.row)
                    self.assertFalse(book.crossed)
            self.assertGreater(verified, 5)
            self.assertEqual(book.unknown_deletes, 0)

    def test_the_recorded_book(self) -> None:
        made = script(Workload("recorded", messages=500, recording=recording_path(RECORDING)))
        self.assertEqual((list(made.snapshots), len(made.bodies)), (["tBTCUSD"], 500))

    def test_updates_of_a_book_come_in_batches_unless_they_are_to_come_by_turns(self) -> None:
        in_a_row = {}
        for by_turns in (False, True):
            bodies = script(Workload("many", pairs=30, messages=2000, by_turns=by_turns)).bodies
            self.assertEqual(len(bodies), 2000)
            in_a_row[by_turns] = 2000 / len(list(groupby(symbol for symbol, _ in bodies)))
        self.assertGreater(in_a_row[False], 10)
        self.assertLess(in_a_row[True], 1.2)

    def test_as_many_symbols_as_are_asked_for(self) -> None:
        self.assertEqual(len(set(symbols(300))), 300)


class Runs(SynchronousTestCase):
    """bfxtwist and the floor take in all that is sent."""

    def setUp(self) -> None:
        if not Path("/proc/self/schedstat").exists():
            raise SkipTest("CPU time of other processes is read as Linux has it")

    def test_books(self) -> None:
        workload = Workload("book-25", pairs=2, messages=400)
        ran = streams.run(BFXTWIST, workload)
        checksums = ran.seen["checksums"]
        self.assertEqual((ran.messages, ran.seen["updates"], ran.seen["mismatches"]), (400, 400 - checksums, 0))
        self.assertGreater(checksums, 3)

    def test_a_fault_is_noticed_by_who_looks(self) -> None:
        for fault in ("checksum", "sequence"):
            self.assertTrue(streams.notices(BFXTWIST, fault))
        self.assertFalse(streams.notices(FLOOR, "checksum"))

    def test_who_loses_something_is_no_measure(self) -> None:
        sent = Sent(100, 2)
        books, trades = Workload("b"), Workload("t", channel="trades", messages=200)
        for workload, seen, words in (
            (books, {"updates": 98, "checksums": 2, "mismatches": 0}, ""),
            (books, {"updates": 98, "checksums": None, "mismatches": 0}, ""),
            (books, {"updates": 97, "checksums": 2, "mismatches": 0}, "97 updates, not 98"),
            (books, {"updates": 98, "checksums": 1, "mismatches": 0}, "1 checksums, not 2"),
            (books, {"updates": 98, "checksums": 2, "mismatches": 1}, "1 mismatches, not 0"),
            (trades, {"rows": 100}, ""),
            (trades, {"rows": 71}, "71 rows, not 100"),
        ):
            self.assertEqual(streams.faults(workload, sent, seen), words)

    def test_trades_and_the_report(self) -> None:
        races = [
            streams.Race(Workload("trades", channel="trades", messages=200), [BFXTWIST], 1),
            streams.Race(Workload("book-25", messages=200), [FLOOR], 1),
        ]
        streams.compare(races)
        [trades], [floor] = (race.figures() for race in races)
        self.assertEqual((trades.messages, trades.error, floor.error), (200, "", ""))
        shown: dict[str, Any] = {
            "failed": [],
            "checks": {"bfxtwist": {"checksums": True, "sequence": True}, "ccxt.pro": {"checksums": False}, "floor": {}},
            "machine": {"cpu": "a", "cores": 2, "kernel": "6", "python": "3", "when": "now"},
            "versions": {},
            "streams": {
                name: {
                    one.contestant: {
                        "median": one.median, "min": 1.0, "max": 1e6, "memory": one.memory, "messages": 200, "verifies": "",
                    }
                }
                for name, one in (("trades", trades), ("book-25", floor))
            },
        }  # fmt: skip
        self.assertIn("| bfxtwist |", table(shown))
        self.assertIn("not measured", table(shown))
        self.assertIn("| ccxt.pro | **not noticed** |  |", table(shown))
        self.assertEqual(failures(shown), ["ccxt.pro does not notice a fault in its checksums"])
        shown["streams"]["trades"]["cryptofeed"] = {"error": "it lost some"}
        self.assertEqual(failures(shown)[0], "trades: it lost some")
        self.assertTrue(svg(shown).startswith("<svg"))
        self.assertEqual(len(verdicts(shown)), 20)

    def test_who_is_late_is_waited_for(self) -> None:
        """A machine may be slow: only what is never answered is lost."""
        workload = Workload("paced", messages=100)
        with Replay(workload) as replay, Running(BFXTWIST, workload, replay) as running:
            os.kill(running.pid, signal.SIGSTOP)
            waking = Timer(1.5, os.kill, (running.pid, signal.SIGCONT))
            waking.start()
            self.assertEqual(replay.pace(1000, 1, 100, ping_every=10)["unanswered"], 0)
            waking.join()

    def test_paces_and_loads(self) -> None:
        self.assertGreater(paced.to_book(paced.WITHIN, 500, 5, 0.2).p50, 0)
        self.assertGreater(paced.to_csv(500, 1, 0.2).p50, 0)
        self.assertGreater(paced.under_load(500, 0.2, 2, None).p50, 0)

    def test_requests(self) -> None:
        workload = servers.WORKLOAD._replace(messages=10)
        with Replay(workload) as replay, Running(BFXTWIST, workload, replay) as running:
            load = Load(running.work.http_port, 2, 50)
            with load:
                replay.pace(100, 1, 10)
        self.assertGreater(load.answers.answered, 0)

    def test_requests_that_are_refused_are_no_measure(self) -> None:
        workload = Workload("trades", channel="trades", messages=10)
        with (
            Replay(workload) as replay,
            Running(BFXTWIST, workload, replay) as running,
            self.assertRaisesRegex(RuntimeError, "not 200"),
            Load(running.work.http_port, 1, 50),
        ):
            replay.pace(100, 1, 10)

    def test_a_server_that_says_nothing_or_hangs_up_is_no_measure(self) -> None:
        for hangs_up in (False, True):
            with socket.create_server(("127.0.0.1", 0)) as server:
                load = Load(server.getsockname()[1], 1)
                with self.assertRaisesRegex(RuntimeError, "not 200"), load:
                    peer, _ = server.accept()
                    peer.recv(1)
                    if hangs_up:
                        server.close()
                        peer.close()  # with the rest unread, which resets the connection
                        time.sleep(0.2)  # the clients see it before they are told to stop
                peer.close()

    def test_one_checksum(self) -> None:
        self.assertGreater(checksums.measure()["kept"], 0)
