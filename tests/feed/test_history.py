"""Pages of history over treq, in memory: at the allowed rate, with an end to everything, and no page where it is wrong."""

from itertools import pairwise
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from bfxtwist.core.history import Page, PageRequest
from bfxtwist.core.messages import Trade
from bfxtwist.feed.history import (
    APART,
    LONGEST_APART,
    PER_MINUTE,
    HistoryRefused,
    NoAnswer,
    NotHistory,
    RateBudget,
    RateLimited,
    RestHistory,
)

BODY = b"[[310628121,1542045947738,0.00265425,6443.1],[310628122,1542045947738,-2.8e-7,6443]]"
TRADES = [
    Trade(310628121, 1542045947738, b"0.00265425", b"6443.1"),
    Trade(310628122, 1542045947738, b"-2.8e-7", b"6443"),
]


class Exchange(Resource):
    """Answers every path as it is told."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, dict[bytes, list[bytes]]]] = []
        self.status = 200
        self.body = BODY
        self.headers: dict[bytes, bytes] = {}
        self.stall = False
        self.requests: list[Request] = []

    def render_GET(self, request: Request) -> Any:
        self.asked.append((request.path, request.args))
        self.requests.append(request)
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        if self.stall:
            request.write(self.body)
            return NOT_DONE_YET
        return self.body


class HistoryTests(SynchronousTestCase):
    """`RestHistory`."""

    def setUp(self) -> None:
        self.exchange = Exchange()
        self.treq = StubTreq(self.exchange)
        self.clock = Clock()
        self.history = RestHistory(self.treq, "http://exchange/v2/", self.clock, RateBudget(self.clock))

    def ask(self, request: PageRequest | None = None) -> "Deferred[Page]":
        """One page of tBTCUSD, at its turn."""

        async def ask() -> Page:
            await self.history.turn()
            return await self.history.page("tBTCUSD", request or PageRequest(0))

        return Deferred.fromCoroutine(ask())

    def test_page_has_tokens_and_the_exchanges_clock(self) -> None:
        """Amounts and prices are those of the wire, and the Date header is told along."""
        self.exchange.headers[b"date"] = b"Mon, 12 Nov 2018 18:05:48 GMT"
        page = self.successResultOf(self.ask())
        self.assertEqual(page.trades, TRADES)
        self.assertEqual(page.date, 1542045948000)

    def test_question_is_spelled_as_the_exchange_wants_it(self) -> None:
        """Path and parameters of both directions."""
        self.successResultOf(self.ask(PageRequest(5)))
        self.exchange.body = b"[]"
        self.clock.advance(APART)
        self.successResultOf(self.ask(PageRequest(7, 7, newest_first=True, limit=3)))
        (path, first), (_, second) = self.exchange.asked
        self.assertEqual(path, b"/v2/trades/tBTCUSD/hist")
        self.assertEqual((first[b"start"], first[b"sort"], first[b"limit"]), ([b"5"], [b"1"], [b"10000"]))
        self.assertEqual((second[b"start"], second[b"end"]), ([b"7"], [b"7"]))
        self.assertEqual((second[b"sort"], second[b"limit"]), ([b"-1"], [b"3"]))

    def test_no_two_questions_are_the_same_for_a_cache(self) -> None:
        """The same page asked for again is another URL."""
        self.successResultOf(self.ask())
        self.clock.advance(APART)
        self.successResultOf(self.ask())
        self.assertNotEqual(self.exchange.asked[0], self.exchange.asked[1])

    def test_date_that_is_none(self) -> None:
        """A header that cannot be read is as good as none."""
        self.exchange.headers[b"date"] = b"yesterday"
        self.assertIsNone(self.successResultOf(self.ask()).date)

    def test_what_is_no_page(self) -> None:
        """HTML, errors, other JSON, unsorted, out of range, too long: each is refused by its kind."""
        cases: list[tuple[int, bytes, PageRequest, type[Exception]]] = [
            (200, b"<html>oops</html>", PageRequest(0), NotHistory),
            (200, BODY[:-9], PageRequest(0), NotHistory),
            (200, b'{"a":1}', PageRequest(0), NotHistory),
            (200, b"[[1,2,NaN,4]]", PageRequest(0), NotHistory),
            (200, b"[[1,2,3]]", PageRequest(0), NotHistory),
            (200, b"[[2,20,1,1],[1,10,1,1]]", PageRequest(0), NotHistory),
            (200, b"[[1,10,1,1]]", PageRequest(11), NotHistory),
            (200, b"[[1,10,1,1]]", PageRequest(0, 9), NotHistory),
            (200, b"[[1,10,1,1],[2,10,1,1]]", PageRequest(0, limit=1), NotHistory),
            (500, b'["error",10020,"symbol: invalid"]', PageRequest(0), HistoryRefused),
            (200, b'["error",10020,"symbol: invalid"]', PageRequest(0), HistoryRefused),
            (200, b'["error"', PageRequest(0), HistoryRefused),
            (502, b"<html>bad gateway</html>", PageRequest(0), HistoryRefused),
            (301, b"", PageRequest(0), HistoryRefused),
        ]
        for status, body, request, kind in cases:
            self.exchange.status, self.exchange.body = status, body
            self.exchange.headers = {b"location": b"http://elsewhere/"} if status == 301 else {}
            self.clock.advance(60)
            with self.subTest(body=body):
                self.failureResultOf(self.ask(request), kind)

    def test_rate_limit_in_both_spellings_stops_questions_for_a_minute(self) -> None:
        """429, and the two bodies it comes with, also where the status says otherwise."""
        cases = [
            (429, b'["error",11010,"ratelimit: error"]'),
            (429, b'{"error":"ERR_RATE_LIMIT"}'),
            (500, b'["error",11010,""]'),
            (500, b'{"error":"ERR_RATE_LIMIT"}'),
            (429, b"<html>Too Many Requests</html>"),
        ]
        for status, body in cases:
            self.exchange.status, self.exchange.body = status, body
            self.clock.advance(APART)
            self.failureResultOf(self.ask(), RateLimited)
            asked = len(self.exchange.asked)
            self.exchange.status, self.exchange.body = 200, BODY
            waiting = self.ask()
            self.clock.advance(59.9)
            self.assertNoResult(waiting)
            self.assertEqual(len(self.exchange.asked), asked)
            self.clock.advance(0.2)
            self.successResultOf(waiting)

    def test_retry_after_is_heeded(self) -> None:
        """A refusal that says when to come again: no sooner, and after 429 not within the documented minute."""
        cases = [(429, b"150", 150), (429, b"5", 60), (503, b"90", 90), (503, b"99999", 600), (403, b"30", 30)]
        for status, header, wait in cases:
            self.exchange.status, self.exchange.headers = status, {b"retry-after": header}
            self.clock.advance(APART)
            refused = self.failureResultOf(self.ask(), RateLimited, HistoryRefused)
            self.assertIn(f"nothing is asked for {wait} s", str(refused.value))
            self.exchange.status, self.exchange.headers = 200, {}
            waiting = self.ask()
            self.clock.advance(wait - 0.1)
            self.assertNoResult(waiting)
            self.clock.advance(0.2)
            self.successResultOf(waiting)

    def test_retry_after_that_asks_for_nothing(self) -> None:
        """A date is not read, and a page that came was not refused."""
        for status, header in ((503, b"Wed, 21 Oct 2026 07:28:00 GMT"), (503, b"0"), (200, b"90")):
            self.exchange.status, self.exchange.headers = status, {b"retry-after": header}
            self.clock.advance(APART)
            self.ask().addErrback(lambda failure: failure.trap(HistoryRefused))
            self.exchange.status = 200
            self.clock.advance(2 * APART)
            self.successResultOf(self.ask())

    def test_questions_without_a_page_are_further_apart(self) -> None:
        """Whatever came instead of it; with the first page the next question has its turn at once."""
        self.exchange.status = 502
        for wait in (0.0, 0.5, 1.0, 2.0):
            self.clock.advance(wait)
            self.failureResultOf(self.ask(), HistoryRefused)
        self.exchange.status = 200
        first, second = self.ask(), self.ask()
        self.clock.advance(3.9)
        self.assertNoResult(first)
        self.clock.advance(0.1)
        self.successResultOf(first)
        self.clock.advance(APART)
        self.successResultOf(second)

    def test_body_that_stalls_ends(self) -> None:
        """treq's own timeout would not end this one."""
        self.exchange.stall = True
        asking = self.ask()
        self.treq.flush()
        self.assertNoResult(asking)
        self.clock.advance(30)
        self.assertIn("within 30 s", str(self.failureResultOf(asking, NoAnswer).value))

    def test_server_that_never_answers_ends(self) -> None:
        """Nor does it hang before the headers."""
        self.exchange.stall, self.exchange.body = True, b""
        asking = self.ask()
        self.clock.advance(30)
        self.failureResultOf(asking, NoAnswer)

    def test_body_that_is_too_long_ends(self) -> None:
        """No more than the limit is kept in memory."""
        self.exchange.body = b" " * (4 * 1024 * 1024 + 1)
        self.assertIn("more than", str(self.failureResultOf(self.ask(), NoAnswer).value))

    def test_body_that_is_cut_off(self) -> None:
        """The connection ended in the middle of it."""
        self.exchange.stall = True
        self.exchange.headers[b"content-length"] = b"1000"
        asking = self.ask()
        self.treq.flush()
        transport = self.exchange.requests[0].transport
        assert transport is not None
        transport.loseConnection()
        self.treq.flush()
        self.failureResultOf(asking, NoAnswer)

    def test_nobody_there(self) -> None:
        """Refused connections, and failures wrapped in failures, say what they are."""

        class Nobody:
            def get(self, *args: Any, **kwargs: Any) -> "Deferred[Any]":
                return fail(ResponseNeverReceived([Failure(ConnectionRefusedError("no"))]))

        history = RestHistory(Nobody(), "http://exchange/v2", self.clock, RateBudget(self.clock))
        asking = Deferred.fromCoroutine(history.page("tBTCUSD", PageRequest(0)))
        self.assertIn("ConnectionRefusedError", str(self.failureResultOf(asking, NoAnswer).value))


class BudgetTests(SynchronousTestCase):
    """`RateBudget`."""

    def test_ten_in_any_minute_first_come_first_served(self) -> None:
        """30 recorders that ask at once have their turns in order, ten a minute."""
        clock = Clock()
        turns: list[tuple[float, int]] = []
        budget = RateBudget(clock)

        async def ask(number: int) -> None:
            await budget.turn()
            turns.append((clock.seconds(), number))

        for number in range(30):
            Deferred.fromCoroutine(ask(number))
        for _ in range(1400):
            clock.advance(0.1)
        self.assertEqual([n for _, n in turns], list(range(30)))
        times = [at for at, _ in turns]
        spans = [later - earlier for earlier, later in zip(times, times[10:], strict=False)]
        self.assertGreaterEqual(min(spans), 65, "five seconds more, since some take longer to the exchange than others")
        self.assertLess(times[-1], 134)

    def test_questions_that_all_fail_at_once(self) -> None:
        """Six recorders that ask again at once: a minute has questions left, and who waits has his turn after an answer."""
        clock = Clock()
        budget = RateBudget(clock)
        turns: list[float] = []
        answers = False

        async def ask() -> None:
            while not answers:
                await budget.turn()
                turns.append(clock.seconds())
                (budget.answered if answers else budget.failed)()

        for _ in range(6):
            Deferred.fromCoroutine(ask())
        for _ in range(560):
            clock.advance(0.1)
        self.assertLess(len(turns), PER_MINUTE)
        self.assertLessEqual(max(later - earlier for earlier, later in pairwise(turns)), LONGEST_APART + 0.1)
        answers = True
        before = len(turns)
        clock.advance(LONGEST_APART)
        clock.advance(APART)
        self.assertEqual(len(turns), before + 2, "the one that was answered, and the next at once")

    def test_answer_ends_the_waiting(self) -> None:
        """Whose turn was put off while there were no answers."""
        clock = Clock()
        budget = RateBudget(clock)
        self.successResultOf(budget.turn())
        for _ in range(20):
            budget.failed()
        waiting = budget.turn()
        clock.advance(LONGEST_APART - 1)
        self.assertNoResult(waiting)
        budget.answered()  # a question that was under way
        self.successResultOf(waiting)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_answer_ends_no_block(self) -> None:
        """What the exchange asked for stands."""
        clock = Clock()
        budget = RateBudget(clock)
        budget.failed()
        budget.block(60)
        waiting = budget.turn()
        budget.answered()
        clock.advance(59)
        self.assertNoResult(waiting)
        clock.advance(1)
        self.successResultOf(waiting)

    def test_who_does_not_wait_any_more_has_no_turn(self) -> None:
        """A recorder that stops leaves its place to the next."""
        clock = Clock()
        turns: list[str] = []
        budget = RateBudget(clock)
        self.successResultOf(budget.turn())
        gone = budget.turn()
        budget.turn().addCallback(lambda _: turns.append("next"))
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        clock.advance(65)
        self.assertEqual(turns, ["next"])
