"""A raw book is its orders, by price and then by id, to the digit."""

from zlib import crc32

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book import Book
from bfxtwist.core.messages import Rows
from bfxtwist.core.raw_book import RawBook, book_of
from bfxtwist.core.wire import decode
from tests.core.test_book import asks, bids, rows
from tests.recordings import recording


class RawOrders(SynchronousTestCase):
    def test_orders_of_one_price_are_sorted_by_id(self) -> None:
        book = RawBook()
        book.load(rows("30 100 1", "4 100 1", "200 101 1", "7 102 -1", "5 102 -1"))
        self.assertEqual(bids(book), ["200", "4", "30"])
        self.assertEqual(asks(book), ["5", "7"])

    def test_an_order_moves_with_its_price_and_is_deleted_by_price_zero(self) -> None:
        book = RawBook()
        book.load(rows("1 100 1", "2 101 1"))
        book.apply((b"1", b"102.5", b"1"))
        self.assertEqual(bids(book), ["1", "2"])
        book.apply((b"2", b"0", b"1"))
        self.assertEqual(book.bids.rows, [(b"1", b"102.5", b"1")])

    def test_the_json_row_is_price_amount_id(self) -> None:
        book = RawBook()
        book.load(rows("9007199254740993 41643.95858045 -1.5"))
        self.assertEqual(book.levels_json(), b'"bids":[],"asks":[[41643.95858045,1.5,9007199254740993]]')

    def test_a_recorded_snapshot_keeps_its_order(self) -> None:
        message = decode(recording("book-R0-snapshot.json").replace(b"\n", b""))
        assert isinstance(message, Rows)
        book = RawBook()
        book.load(message.rows)
        self.assertEqual(len(book.bids.rows), 100)
        self.assertEqual(len(book.asks.rows), 100)
        self.assertFalse(book.crossed)
        self.assertEqual(sorted(book.bids.rows + book.asks.rows), sorted(message.rows))

    def test_an_order_that_changes_only_its_amount_stays_where_it_is(self) -> None:
        book = RawBook()
        book.load(rows("1 100 1", "2 100 1", "3 100 1"))
        book.apply((b"2", b"100", b"0.25"))
        self.assertEqual(book.bids.rows, rows("1 100 1", "2 100 0.25", "3 100 1"))

    def test_prices_that_one_float_cannot_tell_apart(self) -> None:
        """Nor orders whose ids one float cannot tell apart."""
        book = RawBook()
        book.load(rows("1 100.5 1", "2 100.25 1", "3 101 -1"))
        book.apply((b"9007199254740993", b"100.50000000000000000001", b"1"))
        book.apply((b"9007199254740992", b"100.49999999999999999999", b"1"))
        self.assertEqual(bids(book), ["9007199254740993", "1", "9007199254740992", "2"])
        book.apply((b"9007199254740993", b"0", b"1"))
        self.assertEqual(bids(book), ["1", "9007199254740992", "2"])
        self.assertEqual((asks(book), book.crossed, book.unknown_deletes), (["3"], False, 0))

    def test_orders_from_before_a_long_price_are_the_same_after_it(self) -> None:
        book = RawBook()
        book.load(rows("1 0.1 1", "2 0.3 1"))
        book.apply((b"3", b"0.10000000000000000001", b"1"))
        book.apply((b"4", b"0.1", b"1"))
        book.apply((b"2", b"0.1", b"1"))
        self.assertEqual(bids(book), ["3", "1", "2", "4"])

    def test_knows_when_it_is_crossed(self) -> None:
        book = RawBook()
        book.load(rows("1 98 1", "2 100 1", "5 97 1", "3 101 -1", "4 103 -1"))
        self.assertEqual((book.bids.top(), book.asks.top(), book.crossed), (100, 101, False))
        book.apply((b"1", b"101", b"1"))
        self.assertTrue(book.crossed)
        book.load([])
        self.assertFalse(book.crossed)

    def test_a_row_that_cannot_be_one_changes_nothing(self) -> None:
        book = RawBook()
        book.load(rows("1 100 1"))
        for row in rows("1 100", "1 100 0", "1 -100 1", "1 1e-320 1", "1.5 100 1", "0 100 1", "-1 100 1"):
            self.assertRaises(ValueError, book.apply, row)
        self.assertEqual(book.bids.rows, rows("1 100 1"))

    def test_deleting_an_unknown_order_is_counted(self) -> None:
        book = RawBook()
        book.apply((b"1", b"0", b"1"))
        self.assertEqual(book.unknown_deletes, 1)

    def test_its_checksum_is_of_ids_and_amounts(self) -> None:
        book = RawBook()
        book.load(rows("77 10 1", "88 11 -0.5"))
        value = crc32(b"77:1:88:-0.5")
        self.assertEqual(book.checksum(), value - 2**32 if value >= 2**31 else value)

    def test_the_book_of_a_precision(self) -> None:
        self.assertEqual([type(book_of(precision)) for precision in ("R0", "P0", "P4")], [RawBook, Book, Book])
