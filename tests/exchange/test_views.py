"""A reader who applies what it is told has the book that there is."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book import Book
from bfxtwist.core.messages import ChannelName, Row
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.views import View

BOOK = Subscription(ChannelName.BOOK, "tBTCUSD")


def sides(levels: dict[int, int]) -> tuple[list[Row], list[Row]]:
    """Bids below 50, asks from there on."""
    bids: list[Row] = [(b"%d" % p, b"1", b"%d" % levels[p]) for p in sorted(levels, reverse=True) if p < 50]
    asks: list[Row] = [(b"%d" % p, b"1", b"-%d" % levels[p]) for p in sorted(levels) if p >= 50]
    return bids, asks


books = st.dictionaries(st.integers(1, 99), st.integers(1, 3), max_size=60).map(sides)


class ViewTest(SynchronousTestCase):
    """Batches."""

    @given(st.lists(books, min_size=1, max_size=6))
    def test_updates_lead_from_book_to_book(self, states: list[tuple[list[Row], list[Row]]]) -> None:
        view = View(BOOK, *states[0])
        reader = Book()
        reader.load(view.rows)
        for bids, asks in states[1:]:
            updates = view.refresh(bids, asks)
            phases = [2 * (row[1] != b"0") + row[2].startswith(b"-") for row in updates]
            self.assertEqual(phases, sorted(phases))  # bids go, asks go, bids are set, asks are set
            self.assertTrue(all(row[2] in (b"1", b"-1") for row in updates if row[1] == b"0"))
            for row in updates:
                reader.apply(row)
            self.assertEqual((reader.bids.rows, reader.asks.rows), (bids, asks))
            self.assertEqual(reader.checksum(), view.checksum())
        self.assertEqual(reader.unknown_deletes, 0)

    def test_a_checksum_is_due_after_a_change_only(self) -> None:
        bids, asks = sides({1: 1, 60: 1})
        view = View(BOOK, bids, asks)
        view.refresh(bids, asks)
        self.assertFalse(view.changed)
        view.refresh([], asks)
        self.assertTrue(view.changed)
        view.checksum()
        self.assertFalse(view.changed)
