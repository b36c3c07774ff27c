"""Pages of history that are no answer to what was asked: they did not come."""

from bfxtwist.core.history import HistoryUnavailable, PageRequest, check_page
from bfxtwist.core.messages import Trade
from bfxtwist.core.trades import Mode
from tests.core.taped import TapeTest


class PageTests(TapeTest):
    """What a tape takes, and what is taken at all."""

    def test_page_that_cannot_be_right_did_not_come(self) -> None:
        """Unsorted, or from before what was asked for."""
        self.live()
        for fault in ("unsorted", "early"):
            self.tape.lost("sequence")
            self.missed(3)
            self.exchange.fault = fault
            self.connect(1)
            self.ask()
            self.assertEqual((self.tape.mode, len(self.file)), (Mode.SYNC, 1))
        self.assertEqual(self.tape.comparison.failures, 2)

    def test_what_is_no_answer_to_its_request(self) -> None:
        """By the order, the range and the number that were asked for."""
        trades = [Trade(number, mts, b"1", b"1") for number, mts in ((1, 10), (2, 20), (3, 30))]
        for request in (PageRequest(10), PageRequest(10, 30), PageRequest(10, limit=3)):
            check_page(request, trades)
            check_page(request._replace(newest_first=True), trades[::-1])
            check_page(request, [])
            self.assertRaises(HistoryUnavailable, check_page, request, trades[::-1])
            self.assertRaises(HistoryUnavailable, check_page, request._replace(newest_first=True), trades)
        for request in (PageRequest(11), PageRequest(10, 29), PageRequest(10, limit=2)):
            self.assertRaises(HistoryUnavailable, check_page, request, trades)
        for impossible in (Trade(4, 10**15, b"1", b"1"), Trade(10**18, 40, b"1", b"1")):
            self.assertRaises(HistoryUnavailable, check_page, PageRequest(10), [*trades, impossible])
