"""A book is what its updates say, in order, to the digit."""

import json
from decimal import Decimal
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book import Book
from bfxtwist.core.messages import BookUpdate, Checksum, Row, Rows
from bfxtwist.core.raw_book import RawBook
from bfxtwist.core.wire import decode
from tests.recordings import recording


def rows(*texts: str) -> list[Row]:
    return [tuple(text.encode().split()) for text in texts]


def bids(book: Book) -> list[str]:
    return [row[0].decode() for row in book.bids.rows]


def asks(book: Book) -> list[str]:
    return [row[0].decode() for row in book.asks.rows]


class PriceLevels(SynchronousTestCase):
    def test_sorts_both_sides_best_first(self) -> None:
        book = Book()
        book.load(rows("100 1 1", "99.5 1 2", "100.5 1 1", "101 1 -1", "102 1 -1", "100.75 1 -3"))
        self.assertEqual(bids(book), ["100.5", "100", "99.5"])
        self.assertEqual(asks(book), ["100.75", "101", "102"])

    def test_a_level_is_replaced_by_its_price_and_deleted_by_a_count_of_zero(self) -> None:
        book = Book()
        book.load(rows("100 1 1", "101 1 -1"))
        book.apply((b"100", b"3", b"0.5"))
        self.assertEqual(book.bids.rows, [(b"100", b"3", b"0.5")])
        book.apply((b"100", b"0", b"1"))
        book.apply((b"101", b"0", b"-1"))
        self.assertEqual((book.bids.rows, book.asks.rows, book.unknown_deletes), ([], [], 0))

    def test_deleting_an_unknown_level_is_counted_and_changes_nothing(self) -> None:
        book = Book()
        book.load(rows("100 1 1"))
        book.apply((b"100", b"0", b"-1"))
        self.assertEqual((bids(book), book.unknown_deletes), (["100"], 1))

    def test_one_price_written_in_two_ways_is_one_level(self) -> None:
        book = Book()
        book.load(rows("100.0 1 1"))
        book.apply((b"1e2", b"2", b"5"))
        self.assertEqual(book.bids.rows, [(b"1e2", b"2", b"5")])

    def test_prices_that_one_float_cannot_tell_apart_stay_two_levels(self) -> None:
        low, middle, high = b"1.00000000000000000001", b"1.00000000000000000002", b"1.00000000000000000003"
        book = Book()
        for price in (middle, high, low):
            book.apply((price, b"1", b"1"))
            book.apply((price, b"1", b"-1"))
        self.assertEqual([row[0] for row in book.bids.rows], [high, middle, low])
        self.assertEqual([row[0] for row in book.asks.rows], [low, middle, high])
        book.apply((middle, b"0", b"1"))
        self.assertEqual([row[0] for row in book.bids.rows], [high, low])

    def test_the_shortest_prices_that_one_float_cannot_tell_apart(self) -> None:
        book = Book()
        book.load(rows("9007199254740993 1 1", "9007199254740992 1 1", "1 1 1"))
        self.assertEqual([row[0] for row in book.bids.rows], [b"9007199254740993", b"9007199254740992", b"1"])

    def test_a_row_that_cannot_be_one_changes_nothing(self) -> None:
        book = Book()
        book.load(rows("100 1 1"))
        for row in rows("100 1", "100 1 0", "-100 1 1", "0 1 1", "100 -1 1"):
            self.assertRaises(ValueError, book.apply, row)
        self.assertEqual(book.bids.rows, [(b"100", b"1", b"1")])

    def test_a_snapshot_that_cannot_be_one_changes_nothing(self) -> None:
        """Whoever asks for a stale book is given what was known, not half of it and half of another."""
        for book in (Book(), RawBook()):
            book.load(rows("100 1 1", "101 1 -1"))
            for row in ("102 1 0", "102 1"):
                self.assertRaises(ValueError, book.load, rows("90 1 1", "91 1.2345678901234567 -1", row))
                self.assertEqual((book.bids.rows, book.asks.rows), (rows("100 1 1"), rows("101 1 -1")))
            book.apply((b"100", b"2", b"1"))
            self.assertEqual((book.bids.rows, book.exact), (rows("100 2 1"), False))

    def test_a_new_snapshot_replaces_everything(self) -> None:
        book = Book()
        book.load(rows("100 1 1", "101 1 -1"))
        book.load([])
        self.assertEqual((book.bids.rows, book.asks.rows, book.depth, book.crossed), ([], [], 0, False))

    def test_knows_when_it_is_crossed(self) -> None:
        """By the best of each side: the others do not count."""
        book = Book()
        book.apply((b"101", b"1", b"-1"))
        self.assertFalse(book.crossed)
        book.load(rows("98 1 1", "100 1 1", "101 1 -1", "103 1 -1", "104 1 -1"))
        self.assertEqual((book.bids.top(), book.asks.top(), book.depth, book.crossed), (100, 101, 3, False))
        book.apply((b"101", b"1", b"1"))
        self.assertTrue(book.crossed)

    def test_levels_from_before_a_long_price_are_the_same_after_it(self) -> None:
        """They are found by prices that no float is."""
        book = Book()
        book.load(rows("0.1 1 1", "0.3 1 1", "0.7 1 -1"))
        for digit in (b"1", b"2"):
            book.apply((b"0.1000000000000000000" + digit, b"1", b"1"))
        book.apply((b"0.1", b"2", b"1"))
        book.apply((b"0.3", b"0", b"1"))
        self.assertEqual(bids(book), ["0.10000000000000000002", "0.10000000000000000001", "0.1"])
        self.assertEqual((book.bids.rows[-1], asks(book), book.unknown_deletes), ((b"0.1", b"2", b"1"), ["0.7"], 0))


class Json(SynchronousTestCase):
    def test_every_number_is_the_exchanges_own_token(self) -> None:
        book = Book()
        book.load(rows("7e-7 3 5.2e-7", "0.0000011 1 -100.50"))
        self.assertEqual(book.levels_json(), b'"bids":[[7e-7,5.2e-7,3]],"asks":[[0.0000011,100.50,1]]')

    def test_depth_cuts_each_side(self) -> None:
        book = Book()
        book.load(rows("3 1 1", "2 1 1", "4 1 -1", "5 1 -1"))
        self.assertEqual(book.levels_json(1), b'"bids":[[3,1,1]],"asks":[[4,1,1]]')
        self.assertEqual(book.levels_json(0), b'"bids":[],"asks":[]')


class Checksums(SynchronousTestCase):
    def test_the_recorded_vectors_verify(self) -> None:
        for name, expected in (("cs-tXRPBTC.jsonl", 30026640), ("cs-tVETBTC.jsonl", 1770440002)):
            book, seen = Book(), []
            for line in recording(name).splitlines():
                message = decode(line)
                if isinstance(message, Rows):
                    book.load(message.rows)
                elif isinstance(message, BookUpdate):
                    book.apply(message.row)
                elif isinstance(message, Checksum):
                    seen.append((message.value, book.checksum()))
            self.assertEqual(seen, [(expected, expected)])

    def test_missing_levels_are_left_out_and_asks_keep_their_sign(self) -> None:
        book = Book()
        book.load(rows("10 1 1", "9 1 2", "11 1 -0.5"))
        self.assertEqual(book.checksum(), _signed(crc32(b"10:1:11:-0.5:9:2")))

    def test_it_is_signed(self) -> None:
        values = set()
        for amount in range(1, 20):
            book = Book()
            book.load(rows(f"10 1 {amount}"))
            self.assertEqual(book.checksum(), _signed(crc32(b"10:%d" % amount)))
            values.add(book.checksum() < 0)
        self.assertEqual(values, {False, True})

    def test_only_25_levels_count(self) -> None:
        book = Book()
        book.load([(b"%d" % price, b"1", b"1") for price in range(100, 125)])
        before = book.checksum()
        book.apply((b"99", b"1", b"1"))
        self.assertEqual(book.checksum(), before)
        book.apply((b"100", b"1", b"2"))
        self.assertNotEqual(book.checksum(), before)

    def test_an_empty_book_has_the_checksum_of_nothing(self) -> None:
        self.assertEqual(Book().checksum(), 0)


def _signed(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value


PRICES = ["7e-7", "1", "1.0", "1.5", "0.00000070", "6443.1", "1.00000000000000000001", "99999", "12e1", "120"]
prices = st.sampled_from(PRICES)
updates = st.lists(st.tuples(prices, st.integers(0, 2), st.sampled_from(["1", "-1", "2.5", "-0.25"])), max_size=60)


class AgainstAModel(SynchronousTestCase):
    @given(updates)
    def test_equals_a_dictionary_of_decimals(self, changes: list[tuple[str, int, str]]) -> None:
        book = Book()
        model: dict[bool, dict[Decimal, tuple[str, int, str]]] = {True: {}, False: {}}
        for price, count, amount in changes:
            book.apply((price.encode(), b"%d" % count, amount.encode()))
            side = model[amount.startswith("-")]
            if count:
                side[Decimal(price)] = (price, count, amount)
            else:
                side.pop(Decimal(price), None)
        for rows_, negative in ((book.bids.rows, False), (book.asks.rows, True)):
            expected = [model[negative][key] for key in sorted(model[negative], reverse=not negative)]
            self.assertEqual([(p.decode(), int(c), a.decode()) for p, c, a in rows_], expected)
        json.loads(b"{%b}" % book.levels_json())
