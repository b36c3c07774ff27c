"""`python -m bfxtwist` as people run it: exit codes, one-line errors, and results on the standard output."""

import contextlib
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import bfxtwist
from bfxtwist.core.gaps import LEDGER_HEADER
from bfxtwist.core.trade_rows import HEADER
from tests.files.http_server import serve
from tests.files.rows import arrival, lines, write
from tests.files.test_rest import Exchange, trade

_ROOT = Path(bfxtwist.__file__).parents[1]


class Command(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.path = write(self.folder / "trade.csv", map(arrival, range(1, 50)))

    def run_it(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bfxtwist", *map(str, arguments)]
        return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)

    def assertComplains(self, code: int, words: str, *arguments: str | Path) -> None:
        run = self.run_it(*arguments)
        self.assertEqual((run.returncode, run.stdout, run.stderr.count("\n")), (code, "", 1), run.stderr)
        self.assertIn(words, run.stderr)


class Verify(Command):
    def test_clean_and_not_clean(self) -> None:
        clean = self.run_it("verify", self.folder)
        self.assertEqual((clean.returncode, clean.stderr, clean.stdout.splitlines()[-1]), (0, "", "clean"))
        self.path.write_bytes(self.path.read_bytes()[:-5])
        torn = self.run_it("verify", self.folder, "--json")
        self.assertEqual((torn.returncode, torn.stderr), (1, ""))
        self.assertEqual(json.loads(torn.stdout)["recordings"][0]["faults"], {"torn": 1})

    def test_a_name_that_cannot_be_printed(self) -> None:
        """Python's error would end it with 1, which says not clean."""
        path = self.path.rename(self.folder / "ü.csv")
        environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
        for form, told in (([], "clean"), (["--json"], "}")):
            command = [sys.executable, "-m", "bfxtwist", "verify", str(path), *form]
            run = subprocess.run(command, cwd=_ROOT, env=environ, capture_output=True, timeout=120, check=False)
            self.assertEqual((run.returncode, run.stderr, run.stdout.decode().splitlines()[-1]), (0, b"", told))
        self.assertEqual(json.loads(run.stdout)["recordings"][0]["parts"], [str(path)])

    def test_closed_streams(self) -> None:
        """A script that looks at the exit code alone may close both."""
        for torn in (b"", b"torn"):
            self.path.write_bytes(self.path.read_bytes() + torn)
            command = f"exec {shlex.quote(sys.executable)} -m bfxtwist verify {shlex.quote(str(self.folder))} >&- 2>&-"
            self.assertEqual(subprocess.run(command, shell=True, cwd=_ROOT, timeout=120, check=False).returncode, bool(torn))

    def test_a_reader_who_has_gone(self) -> None:
        """`| less` that was left, `| grep -q` that has seen enough: 74 would say that the disk has failed."""
        for buffered in ("", "1"):
            reader, writer = os.pipe()
            os.close(reader)
            command = [sys.executable, "-m", "bfxtwist", "verify", str(self.folder)]
            environ = {**os.environ, "PYTHONUNBUFFERED": buffered}
            run = subprocess.run(command, cwd=_ROOT, env=environ, stdout=writer, stderr=subprocess.PIPE, check=False)
            os.close(writer)
            self.assertEqual((run.returncode, run.stderr), (0, b""))

    def test_against_an_exchange(self) -> None:
        exchange = Exchange([trade(number) for number in range(1, 50)])

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(exchange.body(handler.path))

        url = f"{serve(self, answer)}v2"
        same = self.run_it("verify", self.folder, "--rest", url)
        self.assertEqual(same.returncode, 0, same.stdout + same.stderr)
        self.assertIn("none, 49 compared", same.stdout)
        write(self.path, map(arrival, (*range(1, 20), *range(21, 50))))
        lacking = self.run_it("verify", self.folder, "--rest", url)
        self.assertEqual(lacking.returncode, 1)
        self.assertIn("missing: id 20: the trade of 2018-11-12T18:06:07.738Z is in the exchange's history", lacking.stdout)

    def test_complaints(self) -> None:
        self.assertComplains(66, "there is no", "verify", self.folder / "gone")
        self.assertComplains(64, "PATH", "verify")
        self.assertComplains(64, "not a URL", "verify", "--rest", self.path)
        self.assertComplains(64, "unrecognized arguments: --nonsense", "verify", self.path, "--nonsense")


class Merge(Command):
    def test_merge_and_sort(self) -> None:
        other = write(self.folder / "other.csv", map(arrival, (*range(60, 40, -1), 39)))
        out = self.folder / "out.csv"
        merged = self.run_it("merge", self.path, other, "-o", out)
        self.assertEqual((merged.returncode, merged.stderr), (0, ""))
        self.assertEqual(merged.stdout, f"{out}: 60 trades of 70 rows, 10 repeated\n")
        self.assertEqual(out.read_bytes(), HEADER + lines(map(arrival, range(1, 61))))
        self.assertComplains(73, "exists: --force replaces it", "sort", other, "-o", out)
        self.assertEqual(self.run_it("sort", other, "-o", out, "--force").returncode, 0)
        self.assertEqual(out.read_bytes(), HEADER + lines(map(arrival, (39, *range(41, 61)))))

    def test_complaints(self) -> None:
        ether = write(self.folder / "ether.csv", [arrival(1)], "tETHUSD")
        out = self.folder / "out.csv"
        self.assertComplains(65, "trades of bitfinex ETHUSD", "merge", self.path, ether, "-o", out)
        self.assertComplains(66, "there is no", "merge", self.folder / "gone.csv", "-o", out)
        self.assertComplains(64, "required: -o", "merge", self.path)
        self.assertComplains(73, "there is no folder", "merge", self.path, "-o", self.folder / "no" / "out.csv")
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)  # or /dev/null, which root may replace
        for no_file in (self.folder, pipe):
            self.assertComplains(73, "exists", "merge", self.path, "-o", no_file, "--force")
        self.assertTrue(pipe.is_fifo())
        self.assertComplains(64, "OUT must be a file", "merge", self.path, "-o", "-")  # standard output, as elsewhere
        self.assertComplains(64, "plain or .gz", "merge", self.path, "-o", self.folder / "out.csv.zst")
        self.assertFalse(out.exists())

    def test_a_file_that_a_daemon_writes_to_is_not_replaced(self) -> None:
        before = self.path.read_bytes()
        with self.path.with_name("trade.csv.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertComplains(73, "a daemon is writing", "sort", self.path, "-o", self.path, "--force")
            part = self.folder / "trade-2026-11-21-sorted.csv"
            self.assertComplains(73, "a daemon is writing", "sort", self.path, "-o", part)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(self.run_it("sort", self.path, "-o", self.path, "--force").returncode, 0)

    def test_one_that_is_ended_leaves_nothing(self) -> None:
        """Its temporary files are as large as the recordings. SIGHUP comes when a terminal is closed."""
        for ending in (signal.SIGTERM, signal.SIGHUP):
            self.assertEqual(self.ended_by(ending), (130, b"bfxtwist: interrupted\n", 0), ending.name)

    def ended_by(self, ending: signal.Signals) -> tuple[int, bytes, int]:
        """Exit code and standard error of a merge that is under way, and how many files it leaves."""
        pipe, folder = self.folder / f"{ending.name}.csv", self.folder / ending.name
        os.mkfifo(pipe)
        folder.mkdir()
        command = [sys.executable, "-m", "bfxtwist", "sort", str(pipe), "-o", str(folder / "out.csv")]
        self.addCleanup(signal.signal, ending, signal.signal(ending, signal.SIG_DFL))  # nohup's would be inherited
        with subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE) as process, pipe.open("wb", buffering=0) as writer:
            writer.write(HEADER)  # the pipe is open: the merge has begun, and waits
            self.assertEqual(len(list(folder.iterdir())), 1)
            process.send_signal(ending)
            # Python looks for signals before it reads, and not while: one that comes in between waits for what is read.
            with contextlib.suppress(BrokenPipeError):
                writer.write(HEADER[:1])
            _, said = process.communicate(timeout=60)
        return process.returncode, said, len(list(folder.iterdir()))

    def test_a_ledger_of_gaps_is_not_replaced_unasked(self) -> None:
        """A name like a part's has the ledger of the whole recording beside it."""
        ledger = self.folder / "trade.gaps.csv"
        ledger.write_bytes(LEDGER_HEADER)
        part = self.folder / "trade-2026-11-21.csv"
        self.assertComplains(73, "trade.gaps.csv exists", "sort", self.path, "-o", part)
        self.assertEqual((ledger.read_bytes(), part.exists()), (LEDGER_HEADER, False))
        self.assertEqual(self.run_it("sort", self.path, "-o", part, "--force").returncode, 0)


class Help(Command):
    def test_it_names_the_commands_and_their_options(self) -> None:
        whole = self.run_it("--help")
        self.assertEqual(whole.returncode, 0)
        for word in ("verify", "merge", "sort"):
            self.assertIn(word, whole.stdout)
        for command, *told in (
            ("verify", "--allow-gaps", "1 not clean", "74 the disk"),
            ("merge", "--skip-damaged", "65 rows", "73 nowhere"),
            ("sort", "--force", "65 rows", "73 nowhere"),
        ):
            text = " ".join(self.run_it(command, "--help").stdout.split())
            for word in told:
                self.assertIn(word, text)
        self.assertComplains(64, "COMMAND")
        self.assertComplains(64, "invalid choice: 'frobnicate'", "frobnicate")
