"""History over REST: every trade once, at the allowed rate, and no answer is believed that cannot be right."""

import contextlib
import json
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.history import HistoryUnavailable, PageRequest
from bfxtwist.core.messages import Trade
from bfxtwist.files import rest
from bfxtwist.files.rest import Answer, SymbolHistory, fetch
from tests.files.http_server import serve
from tests.files.rows import FIRST_MTS


class Exchange:
    """Answers as the endpoint does, on a clock that only moves when somebody sleeps."""

    def __init__(self, trades: list[Trade], *before: Answer | OSError) -> None:
        self.trades = sorted(trades, key=lambda trade: trade.mts)
        self.before = list(before)
        self.now = 100.0
        self.asked: list[tuple[float, str]] = []

    def history(self) -> SymbolHistory:
        return SymbolHistory("http://x/v2/", "tBTCUSD", self.get, self.sleep, lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def get(self, url: str) -> Answer:
        self.asked.append((self.now, url))
        if self.before:
            answer = self.before.pop(0)
            if isinstance(answer, OSError):
                raise answer
            return answer
        return Answer(200, self.body(url))

    def body(self, url: str) -> bytes:
        query = {name: int(values[0]) for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["sort"] == 1
        chosen = [trade for trade in self.trades if query["start"] <= trade.mts <= query["end"]][: query["limit"]]
        return b"[%b]" % b",".join(b"[%b]" % b",".join(trade.row) for trade in chosen)


def trade(number: int, mts: int | None = None) -> Trade:
    """The trade that `rows.arrival` makes of a number."""
    return Trade(number, FIRST_MTS + number * 1000 if mts is None else mts, b"0.5", b"6443.1")


class Pages(SynchronousTestCase):
    @given(st.lists(st.integers(0, 30)), st.integers(0, 30), st.integers(0, 30))
    def test_every_trade_of_the_span_comes_once_over_any_pages(self, times: list[int], start: int, end: int) -> None:
        exchange = Exchange([trade(number, FIRST_MTS + mts) for number, mts in enumerate(times, 1)])
        limit = max((times.count(mts) for mts in times), default=0) + 1

        def small(first: int, last: int) -> PageRequest:
            return PageRequest(first, last, limit=limit)

        with mock.patch.object(rest, "PageRequest", small):
            got = list(exchange.history().trades(FIRST_MTS + start, FIRST_MTS + end))
        self.assertEqual(sorted(trade.id for trade in got), [n for n, mts in enumerate(times, 1) if start <= mts <= end])
        self.assertEqual([trade.mts for trade in got], sorted(trade.mts for trade in got))

    def test_a_millisecond_that_no_page_holds_is_told(self) -> None:
        exchange = Exchange([trade(number, FIRST_MTS) for number in range(1, 10_002)])
        error = self.assertRaises(HistoryUnavailable, list, exchange.history().trades(FIRST_MTS, FIRST_MTS))
        self.assertIn("more than 10000 trades in the millisecond", str(error))

    def test_the_question(self) -> None:
        exchange = Exchange([])
        list(exchange.history().trades(1, 2))
        self.assertEqual(exchange.asked, [(100.0, "http://x/v2/trades/tBTCUSD/hist?limit=10000&sort=1&start=1&end=2")])


class Rate(SynchronousTestCase):
    def test_ten_requests_a_minute_whatever_is_answered(self) -> None:
        trades = [trade(number, FIRST_MTS + number) for number in range(1, 25_000)]
        exchange = Exchange(trades, Answer(500, b""), Answer(200, b"<html>"), OSError("reset"))
        self.assertEqual(len(list(exchange.history().trades(FIRST_MTS, FIRST_MTS + 30_000))), 24_999)
        times = [asked for asked, _ in exchange.asked]
        self.assertTrue(all(later - earlier >= 6 for earlier, later in pairwise(times)), times)

    def test_who_refuses_is_left_alone_for_as_long_as_the_daemon_does(self) -> None:
        """A minute after 429, for which the address is blocked; for what it asks if that is longer; ten minutes at most."""
        refusals = [Answer(429, b"", 17.0), Answer(429, b"", 90.0), Answer(503, b"", 40.0), Answer(503, b"", 86_400.0)]
        exchange = Exchange([trade(1)], *refusals)
        self.assertEqual(list(exchange.history().trades(FIRST_MTS, FIRST_MTS + 5000)), [trade(1)])
        waits = [later - earlier for (earlier, _), (later, _) in pairwise(exchange.asked)]
        self.assertEqual(waits, [60.0, 90.0, 40.0, 600.0])


class Answers(SynchronousTestCase):
    def test_an_answer_that_cannot_be_right_is_asked_for_again_and_then_told(self) -> None:
        unsorted = json.dumps([[2, FIRST_MTS + 5, 1, 1], [1, FIRST_MTS, 1, 1]]).encode()
        outside = json.dumps([[2, FIRST_MTS - 5, 1, 1]]).encode()
        for wrong, words in (
            (Answer(500, b'["error",10020,"symbol: invalid"]'), "status 500"),
            (Answer(200, b"<html>"), "not a list of trades"),
            (Answer(200, b'[[1,2,"x",4]]'), "not a list of trades"),
            (Answer(200, unsorted), "not in the order of time"),
            (Answer(200, outside), "outside of what was asked for"),
            (OSError("connection reset"), "connection reset"),
        ):
            patient = Exchange([trade(1)], wrong, wrong)
            self.assertEqual(list(patient.history().trades(FIRST_MTS, FIRST_MTS + 5000)), [trade(1)])
            dead = Exchange([], *[wrong] * 99)
            error = self.assertRaises(HistoryUnavailable, list, dead.history().trades(FIRST_MTS, FIRST_MTS + 5000))
            self.assertIn(words, str(error))
            self.assertEqual(len(dead.asked), 6)


class Fetching(SynchronousTestCase):
    """The standard library's client against real sockets."""

    def test_status_body_and_wait(self) -> None:
        def refuse(request: BaseHTTPRequestHandler) -> None:
            request.send_response(429)
            request.send_header("Retry-After", "7")
            request.end_headers()

        def agree(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.end_headers()
            request.wfile.write(b"[]")

        self.assertEqual(fetch(serve(self, refuse)), Answer(429, b"", 7.0))
        self.assertEqual(fetch(serve(self, agree)), Answer(200, b"[]"))

    def test_no_whole_answer_is_an_error_of_the_system(self) -> None:
        def cut(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Content-Length", "100")
            request.end_headers()
            request.wfile.write(b"[")

        def nonsense(request: BaseHTTPRequestHandler) -> None:
            request.wfile.write(b"not HTTP\r\n\r\n")

        url = serve(self, cut)
        # A body that is cut is no JSON; whether the client tells so is its own affair.
        with contextlib.suppress(OSError):
            self.assertRaises(ValueError, json.loads, fetch(url).body)
        self.assertRaises(OSError, fetch, serve(self, nonsense))
        self.assertRaises(OSError, fetch, "http://127.0.0.1:1/")
