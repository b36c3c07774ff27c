"""The page for analysts keeps its word: its lines of Python load a trade file, and its commands print what stands there."""

import gzip
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import Gap, GapLedger, GapState, Mark
from bfxtwist.core.moment import iso
from bfxtwist.core.trade_rows import HEADER, Arrival
from tests.files.rows import FIRST_MTS, arrival, lines, write

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs" / "analysts.md"
_README = _ROOT / "README.md"

#: What each library is asked about what it loaded: rows, sum of the prices and of the amounts, ids' sum, buys.
_QUESTIONS = {
    "pandas": "[len(trades), trades.price.sum(), trades.amount.sum(), int(trades.id.sum()), int(sum(trades.side == 'buy'))]",
    "polars": "[len(trades), *(trades[name].sum() for name in ('price', 'amount', 'id')), sum(trades['side'] == 'buy')]",
    "duckdb": "trades.aggregate(\"count(*), sum(price), sum(amount), sum(id)::LONG, count_if(side = 'buy')\").fetchall()[0]",
}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _PAGE.read_text(), re.DOTALL)


def _one_line(library: str) -> str:
    """The line of the README."""
    [line] = re.findall(rf"^trades = {library}\..*$", _README.read_text(), re.MULTILINE)
    return f"import {library}\n{line}"


def _run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path)])}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return run.stdout + run.stderr


class Loading(SynchronousTestCase):
    """Prices and amounts are whole for longer than any of the libraries looks ahead, and then they are not."""

    def load(self, library: str) -> None:
        if importlib.util.find_spec(library) is None:
            self.skipTest(f"{library} is not installed")
        deals = [(b"-3", b"6443")] * 40_000 + [(b"0.25", b"6443.5"), (b"1", b"5e-7")]
        rows = [arrival(number, deal=deal) for number, deal in enumerate(deals, 310_628_121)]
        folder = Path(self.mktemp())
        write(folder / "trade.csv", rows)
        [snippet] = [block for block in _blocks("python") if f"import {library}" in block]
        self.assertEqual(_one_line(library), snippet.strip())
        code = f"{snippet}\nimport json\nprint(json.dumps({_QUESTIONS[library]}))"
        count, prices, amounts, ids, buys = json.loads(_run([sys.executable, "-c", code], folder))
        self.assertEqual((count, ids, buys), (40_002, sum(row.trade.id for row in rows), 2))
        self.assertAlmostEqual(prices, 40_000 * 6443 + 6443.5 + 5e-7)
        self.assertAlmostEqual(amounts, 120_001.25)

    def test_pandas(self) -> None:
        self.load("pandas")

    def test_polars(self) -> None:
        self.load("polars")

    def test_duckdb(self) -> None:
        self.load("duckdb")

    def test_dates(self) -> None:
        """The times of arrival() as each library tells them."""
        folder = Path(self.mktemp())
        write(folder / "trade.csv", [arrival(1, FIRST_MTS)])
        told = {
            "pandas": (r"`(pandas\.to_datetime\(.*?\))`", "str({0}[0])[:23]"),
            "polars": (r"`(trades\.with_columns\(.*?\)\))`", "str({0}['timestamp'][0])[:23]"),
            "duckdb": (r"`(make_timestamp\(.*?\))`", "str(trades.project('{0}').fetchall()[0][0])[:23]"),
        }
        expected = iso(FIRST_MTS).replace("T", " ").removesuffix("Z")
        for library, (pattern, question) in told.items():
            if importlib.util.find_spec(library) is not None:
                [expression] = re.findall(pattern, _PAGE.read_text())
                code = f"import {library}\n{_one_line(library)}\nprint({question.format(expression)})"
                self.assertEqual(_run([sys.executable, "-c", code], folder).strip(), expected, library)

    def test_all_parts(self) -> None:
        """Not the gap ledger beside them."""
        if importlib.util.find_spec("duckdb") is None:
            self.skipTest("duckdb is not installed")
        folder = Path(self.mktemp())
        write(folder / "trade.csv", [arrival(3)])
        write(folder / "trade.gaps.csv", [arrival(4)])
        for number in (1, 2):
            part = HEADER + lines([arrival(number)])
            (folder / f"trade-2018-11-1{number}.csv.gz").write_bytes(gzip.compress(part))
        [snippet] = [block for block in _blocks("python") if "import" not in block]
        code = f"import duckdb\n{snippet}\nprint(sorted(trades.project('id').fetchall()))"
        self.assertEqual(_run([sys.executable, "-c", code], folder).strip(), "[(1,), (2,), (3,)]")

    def test_no_snippet_is_left_out(self) -> None:
        self.assertEqual(len(_blocks("python")), len(_QUESTIONS) + 1)


class Commands(SynchronousTestCase):
    """Two recordings of one pair with a trade each half minute: the first two days, and all but the first.

    One was disconnected for an hour and fetched its trades later, the other lost its power.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        data, second = self.folder / "data", self.folder / "second"
        live = [*range(2880, 4000), *range(4120, 4130), *range(4000, 4120), *range(4130, 5760)]
        fetched_at = _trade(4129).wall + 1000
        rows = [_trade(number, fetched_at if 4000 <= number < 4120 else None) for number in live]
        write(data / "trade.csv", rows)
        (data / "trade-2018-11-13.csv.gz").write_bytes(gzip.compress(HEADER + lines(map(_trade, range(2880)))))
        ledger = GapLedger()
        ledger.record(_filled(_trade(3999), _trade(4120), 120, fetched_at))
        (data / "trade.gaps.csv").write_bytes(ledger.text())
        write(second / "trade.csv", map(_trade, range(2880, 8640)))
        (second / "trade.csv").write_bytes((second / "trade.csv").read_bytes()[:-21])

    def test_the_gap_that_it_shows(self) -> None:
        [shown] = re.findall(r"```\n(start_time,.*?)```", _PAGE.read_text(), re.DOTALL)
        self.assertEqual((self.folder / "data" / "trade.gaps.csv").read_text(), shown)

    def test_they_print_what_stands_there(self) -> None:
        blocks = _blocks("console")
        self.assertEqual(len(blocks), 3)
        for block in blocks:
            command, _, printed = block.removeprefix("$ ").partition("\n")
            _, *arguments = shlex.split(command)
            self.assertEqual(_run([sys.executable, *arguments], self.folder), printed, command)


def _trade(number: int, wall: int | None = None) -> Arrival:
    made = arrival(number + 1, FIRST_MTS + number * 30_000, wall)
    return replace(made, trade=replace(made.trade, id=310_628_121 + number * 17))


def _filled(before: Arrival, after: Arrival, count: int, wall: int) -> Gap:
    start, end = (Mark(edge.trade.id, edge.trade.mts) for edge in (before, after))
    return Gap(start, end, "REST did not answer", after.wall, start, start.id, GapState.FILLED, count, wall)
