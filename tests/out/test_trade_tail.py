"""The newest rows of a trade.csv, whatever else is in it, and how much of it is read for them."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.out.trade_tail import TAIL_LIMIT, Tail, read_tail
from tests.out.asked import T0, TradesTestCase, trade
from tests.out.served import START


class InAnAnswerTest(TradesTestCase):
    """As those who ask for trades meet it."""

    def test_wherever_the_part_that_is_read_begins(self) -> None:
        assert self.path is not None
        self.write(*map(trade, range(1, 400)))
        lines = self.path.read_bytes().splitlines(keepends=True)
        for limit in range(1, 200, 7):
            self.assertEqual(self.ask(f"?format=csv&limit={limit}")[1], HEADER + b"".join(lines[-limit:]))

    def test_a_line_that_is_no_row_is_left_out(self) -> None:
        self.write(trade(1))
        row = self.layout.line(Arrival(trade(2), START))
        half, long = b",".join(row.split(b",")[:4]) + b"\n", row.replace(b",2,", b",%s," % (b"2" * 5000))
        with self.path.open("ab") as file:  # type: ignore[union-attr]  # setUp made one
            file.writelines((half, long, row.replace(b"buy", b"bye"), b"\0" * 100, b"\n"))
        self.assertEqual(self.ids(), [1])

    def test_a_torn_row_is_left_out(self) -> None:
        self.write(trade(1), end=b"bitfinex,BTCUSD,17901344")
        self.assertEqual(self.ids(), [1])

    def test_rows_for_an_old_gap_do_not_hide_newer_ones(self) -> None:
        newest = [trade(number) for number in range(900, 930)]
        self.write(*newest, *(trade(number) for number in range(1, 200)))
        self.executed(*newest)
        self.assertEqual(self.ids("?limit=40"), [*range(190, 200), *range(900, 930)])
        self.assertTrue(self.document("?limit=40")["complete"])

    def test_it_says_when_it_cannot_be_certain(self) -> None:
        newest = [trade(number) for number in range(90_000, 90_030)]
        self.write(*map(trade, range(80_000, 90_030)), *map(trade, range(1, 6_000)))
        self.executed(*newest)
        document = self.document("?limit=40")
        self.assertFalse(document["complete"])
        self.assertEqual([int(one["id"]) for one in document["trades"]][-30:], list(range(90_000, 90_030)))

    def test_what_rotation_has_closed_is_not_read(self) -> None:
        """What the file lacks comes from memory; what memory has not, either, is uncertain."""
        assert self.path is not None
        self.executed(*map(trade, range(1, 8)))
        self.write(*map(trade, range(6, 9)))
        self.assertTrue(self.document()["complete"])
        self.path.with_name(f"{self.path.stem}-2026-11-22.csv.gz").touch()
        self.assertEqual(self.ids(), list(range(1, 9)))
        self.assertFalse(self.document()["complete"])
        self.assertTrue(self.document("?limit=3")["complete"])
        self.assertTrue(self.document(f"?since={T0 + 6500}")["complete"])
        self.path.with_name(f"{self.path.stem}-2026-11-22.csv.gz").unlink()
        for name in (f"{self.path.name}.1", f"{self.path.name}-20261122.gz"):
            self.path.with_name(name).touch()
            self.assertFalse(self.document()["complete"], f"logrotate closed {name}")
            self.path.with_name(name).unlink()
        self.path.with_name(f"{self.path.name}.lock").touch()
        self.assertTrue(self.document()["complete"])


class ReadTailTest(SynchronousTestCase):
    """`read_tail`."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "trade.csv"
        self.path.parent.mkdir()
        self.reads: list[int] = []
        read = os.pread

        def counted(fd: int, length: int, offset: int) -> bytes:
            self.reads.append(length)
            return read(fd, length, offset)

        self.patch(os, "pread", counted)

    def write(self, *numbers: int) -> None:
        layout = Layout("tBTCUSD")
        self.path.write_bytes(HEADER + b"".join(layout.line(Arrival(trade(number), START)) for number in numbers))

    def tail(self, limit: int, since: int = 0, must_have: tuple[int, ...] = ()) -> Tail:
        return read_tail(self.path, limit, since, must_have)

    def test_of_a_long_file_little_is_read(self) -> None:
        """The feeds wait meanwhile."""
        self.write(*range(1, 20_001))
        found = self.tail(10)
        self.assertEqual(([one.id for one in found.trades], found.certain), (list(range(19_991, 20_001)), True))
        self.assertEqual(len(self.reads), 1)
        self.assertLess(self.reads[0], 5_000)

    def test_trades_of_one_moment_are_in_order(self) -> None:
        """One order often takes several, and the exchange tells them by the millisecond."""
        layout = Layout("tBTCUSD")
        trades = [trade(number, T0 + number // 3) for number in range(1, 20_001)]
        self.path.write_bytes(HEADER + b"".join(layout.line(Arrival(one, START)) for one in trades))
        found = self.tail(10)
        self.assertEqual(([one.id for one in found.trades], found.certain), (list(range(19_991, 20_001)), True))
        self.assertEqual(len(self.reads), 1)

    def test_however_much_is_asked_for_there_is_a_bound(self) -> None:
        self.write(*range(1, 20_001))
        found = self.tail(10_000)
        self.assertFalse(found.certain)
        self.assertEqual((found.trades[-1].id, self.reads), (20_000, [TAIL_LIMIT]))

    def test_without_a_trade_that_must_be_there_more_is_read(self) -> None:
        self.write(*range(1001, 1101), *range(1, 901))
        self.assertEqual([one.id for one in self.tail(5).trades], list(range(896, 901)))
        self.assertEqual([one.id for one in self.tail(5, must_have=(1100, 1101)).trades], list(range(1096, 1101)))
        self.assertGreater(len(self.reads), 2)

    def test_rows_for_an_old_gap_between_new_ones(self) -> None:
        """The newest of a part that is not in order may not be the newest of the file."""
        self.write(*range(1990, 2002), *range(1, 8), 2002)
        found = self.tail(5, must_have=(2002,))
        self.assertEqual([one.id for one in found.trades], list(range(1998, 2003)))

    def test_what_is_in_closed_parts_is_not_certain(self) -> None:
        """Neither in those of --rotate nor in logrotate's. What lies beside them is no part."""
        self.write(1)
        for end in (".csv.lock", ".csv.state", ".gaps.csv", ".csv.torn-20261122T160000Z"):
            self.path.with_name(f"trade{end}").touch()
        self.assertTrue(self.tail(5).certain)
        for end in ("-2026-11-22.csv", "-2026-11-22-2.csv.gz", ".csv.1", ".csv.2.gz", ".csv-20261122"):
            part = self.path.with_name(f"trade{end}")
            part.touch()
            self.assertFalse(self.tail(5).certain, end)
            part.unlink()

    def test_back_to_a_time(self) -> None:
        """Certain only where an older row was seen, or the beginning of the file."""
        self.write(*range(1, 20_001))
        found = self.tail(50_000, since=T0 + 19_000_000)
        self.assertEqual((found.trades[0].mts, len(found.trades), found.certain), (T0 + 19_000_000, 1_001, True))
        self.assertFalse(self.tail(50_000, since=T0 + 1_000_000).certain)
        self.reads.clear()
        found = self.tail(10, since=T0 + 19_900_000)
        self.assertEqual(([one.id for one in found.trades], found.certain), (list(range(19_900, 19_910)), True))
        self.assertLess(sum(self.reads), 50_000, "no more than there is from then on, and a little")

    def test_a_trade_is_told_with_its_line(self) -> None:
        self.write(1)
        [found] = self.tail(1).trades
        line = self.path.read_bytes().removeprefix(HEADER).removesuffix(b"\n")
        self.assertEqual(found, (T0 + 1000, 1, b"buy", b"6001.50", b"0.10", line))

    def test_a_row_that_is_being_written_is_not_there_yet(self) -> None:
        """Without its last digit its amount would be another."""
        self.write(1, 2)
        whole = self.path.read_bytes()
        for cut in range(1, whole.index(b"\n", len(HEADER)) + 1 - len(HEADER)):
            self.path.write_bytes(whole[:-cut])
            self.assertEqual([one.id for one in self.tail(5).trades], [1], cut)

    def test_a_row_whose_beginning_was_not_read_is_read_again(self) -> None:
        """It is so long that the part that is read at first begins in its first field."""
        self.write(1)
        self.path.write_bytes(self.path.read_bytes()[:-1].ljust(len(HEADER) + 129, b"0") + b"\n")
        [found] = self.tail(1).trades
        self.assertEqual(HEADER + found.line + b"\n", self.path.read_bytes())

    def test_there_is_no_file(self) -> None:
        self.assertRaises(FileNotFoundError, self.tail, 5)

    def test_an_empty_file_has_none_for_certain(self) -> None:
        for content in (b"", HEADER, HEADER[:10]):
            self.path.write_bytes(content)
            self.assertEqual(self.tail(5), Tail([], True), content)
