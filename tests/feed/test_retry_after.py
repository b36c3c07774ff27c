"""How long a server that refuses is to be left alone."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.feed.retry_after import seconds_in, seconds_to_wait


class RetryAfterTests(SynchronousTestCase):
    def test_header(self) -> None:
        date = "Wed, 21 Oct 2026 07:28:00 GMT"
        cases = [("120", 120), (" 5 ", 5), ("0", 0), (date, None), ("-1", None), ("9" * 99, None), ("", None), (None, None)]
        for value, seconds in cases:
            self.assertEqual(seconds_in(value), seconds)

    def test_wait(self) -> None:
        cases = [(429, None, 60), (429, 5, 60), (429, 150, 150), (503, None, 0), (503, 90, 90), (503, 99999, 600)]
        for status, asked, wait in [*cases, (None, None, 0)]:
            self.assertEqual(seconds_to_wait(status, asked), wait)
