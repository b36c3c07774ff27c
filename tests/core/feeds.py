"""A book that is live, and the time that it is, for the tests of feeds."""

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.messages import BookUpdate, Row, Rows
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from tests.core.conversation import BOOK

ROWS: list[Row] = [(b"100", b"1", b"2"), (b"99", b"2", b"0.5"), (b"101", b"1", b"-1"), (b"102", b"3", b"-4.5")]


def at(seconds: float) -> Moment:
    """So many seconds after the test began, in September 2026."""
    return Moment(seconds, 1790134414850000 + int(seconds * 1e6))


def live_book(subscription: Subscription = BOOK) -> BookFeed:
    """A book with its snapshot."""
    feed = BookFeed(subscription, at(0))
    feed.snapshot(Rows(7, ROWS, 1, 1542045947738), at(1))
    feed.seen(1542045947738, at(1))
    return feed


def cross(feed: BookFeed, moment: Moment) -> None:
    """A bid at the price of the best ask."""
    feed.update(BookUpdate.of(7, (b"101", b"1", b"1"), 2, None), moment)
