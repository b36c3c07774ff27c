"""The routes, over treq and in memory: what a reader of the book sees in each state."""

import json
import os
from collections.abc import Callable
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Rows
from bfxtwist.core.trade_feed import TradeFeed
from bfxtwist.out.http import HttpApi
from tests.out.asked import HttpApiTestCase
from tests.out.served import carry, change, live_book, moment


class BookTests(HttpApiTestCase):
    def test_the_book_in_the_exchanges_own_digits(self) -> None:
        live_book(self.market)
        response, body = self.ask("/book")
        self.assertEqual(response.code, 200)
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["application/json"])
        self.assertIn(b'"bids":[[6000.50,1.10,1],[5999.50,2.10,2]],"asks":[[6001.50,1e-7,1],[6002.50,2e-7,2]]', body)
        document = json.loads(body)
        self.assertEqual((document["symbol"], document["status"], document["nonce"]), ("BTC/USD", "live", 7))
        self.assertEqual(document["datetime"], "2026-09-23T03:33:35.850Z")

    def test_depth_cuts_both_sides(self) -> None:
        live_book(self.market, levels=5)
        for depth, levels in (("1", 1), ("3", 3), ("5", 5), ("250", 5), ("007", 5), ("999999", 5)):
            _, document = self.get(f"/book?depth={depth}")
            self.assertEqual((len(document["bids"]), len(document["asks"])), (levels, levels), depth)

    def test_the_exchanges_own_names_come_in_as_an_argument(self) -> None:
        live_book(self.market, "tABC:USD")
        api = HttpApi(self.market, lambda: self.now, "1")
        api.names = {"ABCDEF": "ABC"}
        self.treq = StubTreq(api.resource())
        self.assertEqual(self.get("/book?pair=ABCDEF/USD")[0], 404)
        live_book(self.market, "tABCUSD")
        self.assertEqual(self.get("/book?pair=ABCDEF/USD")[0], 200)

    def test_an_empty_book_and_an_empty_side_are_books(self) -> None:
        feed = live_book(self.market, levels=0)
        status, document = self.get("/book")
        self.assertEqual((status, document["bids"], document["asks"]), (200, [], []))
        change(feed)
        status, document = self.get("/book?depth=1")
        self.assertEqual((status, document["bids"], document["asks"]), (200, [[5990.5, 0.25, 1]], []))


class BookThatIsNotLiveTests(HttpApiTestCase):
    def test_before_the_first_snapshot_there_is_nothing_even_for_those_who_take_a_stale_book(self) -> None:
        feed = carry(self.market, "tBTCUSD")
        for state, happening in (
            ("connecting", lambda: None),
            ("syncing", lambda: feed.syncing("subscribed", moment(2))),
            ("connecting", lambda: feed.lost("the connection broke", moment(3))),
        ):
            happening()
            for path in ("/book", "/book?stale=ok"):
                document = self.assert_problem(path, 503, "BTC/USD", state)
                self.assertEqual((document["state"], document["type"]), (state, "urn:bfxtwist:problem:book-not-live"))
                self.assertNotIn("bids", document)

    def test_says_which_state_since_when_and_why(self) -> None:
        feed = live_book(self.market)
        feed.lost("the connection broke", moment(10))
        response, body = self.ask("/book")
        document = json.loads(body)
        self.assertEqual(response.code, 503)
        self.assertEqual(response.headers.getRawHeaders("retry-after"), ["2"])
        self.assertEqual(response.headers.getRawHeaders("cache-control"), ["no-store"])
        self.assertEqual(document["reason"], "the connection broke")
        self.assertEqual((document["state"], document["since"]), ("stale", "2026-09-23T03:33:44.850Z"))

    def test_the_last_known_book_for_those_who_ask_for_it_with_its_state(self) -> None:
        feed = live_book(self.market)
        _, before = self.get("/book?stale=ok")
        for state, happening in (
            ("stale", lambda: feed.silent(moment(2))),
            ("stale", lambda: feed.lost("gone", moment(3))),
            ("syncing", lambda: feed.syncing("subscribed", moment(4))),
        ):
            happening()
            status, document = self.get("/book?stale=ok")
            self.assertEqual((status, document["status"]), (200, state))
            self.assertEqual(document["bids"], before["bids"])
            self.assertEqual(self.get("/book")[0], 503)

    def test_a_new_snapshot_makes_it_live_again(self) -> None:
        feed = live_book(self.market)
        feed.lost("gone", moment(2))
        assert isinstance(feed, BookFeed)
        feed.snapshot(Rows(1, [(b"1", b"1", b"1")], 9, None), moment(3))
        self.assertEqual(self.get("/book")[1]["bids"], [[1, 1, 1]])

    def test_a_crossed_book_is_not_live_since_it_crossed(self) -> None:
        feed = live_book(self.market)
        change(feed, b"7000")
        document = self.assert_problem("/book", 503, "crossed")
        self.assertEqual((document["state"], document["since"]), ("stale", "2026-09-23T03:33:36.850Z"))
        self.assertEqual(self.get("/books")[1]["books"][0]["status"], "stale")
        self.assertEqual(self.get("/readyz")[0], 503)

    def test_a_tag_does_not_make_a_dead_book_unchanged(self) -> None:
        feed = live_book(self.market)
        response, _ = self.ask("/book")
        etag = response.headers.getRawHeaders("etag")[0]
        feed.lost("gone", moment(2))
        for tag in (etag, "*"):
            self.assertEqual(self.ask("/book", If_None_Match=tag)[0].code, 503)


class CachingTests(HttpApiTestCase):
    def test_the_same_book_is_sent_once(self) -> None:
        feed = live_book(self.market)
        response, _ = self.ask("/book")
        etag = response.headers.getRawHeaders("etag")[0]
        self.assertEqual(response.headers.getRawHeaders("cache-control"), ["no-cache"])
        again, body = self.ask("/book", If_None_Match=f'W/"other", {etag}')
        self.assertEqual((again.code, body), (304, b""))
        self.assertEqual(again.headers.getRawHeaders("etag"), [etag])
        change(feed)
        self.assertEqual(self.ask("/book", If_None_Match=etag)[0].code, 200)

    def test_a_process_that_is_started_anew_does_not_take_another_book_for_this_one(self) -> None:
        live_book(self.market)
        first = self.ask("/book")[0].headers.getRawHeaders("etag")
        market = Market()
        live_book(market, levels=3)
        self.treq = StubTreq(HttpApi(market, lambda: self.now, "1").resource())
        self.assertNotEqual(self.ask("/book")[0].headers.getRawHeaders("etag"), first)


class MethodTests(HttpApiTestCase):
    PATHS = ("/book", "/books", "/livez", "/readyz", "/status")

    def test_only_get_and_head(self) -> None:
        live_book(self.market)
        for path in self.PATHS:
            for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
                response, _ = self.ask(path, method)
                self.assertEqual((response.code, response.headers.getRawHeaders("allow")), (405, ["GET, HEAD, OPTIONS"]))
                self.assert_problem(path, 405, "GET, HEAD, OPTIONS", method=method)

    def test_head_is_get_without_a_body(self) -> None:
        live_book(self.market)
        carry(self.market, "tETHUSD")
        for path in (*self.PATHS, "/book?pair=BTCUSD", "/book?pair=ETHUSD", "/nothing"):
            head, body = self.ask(path, "HEAD")
            get, content = self.ask(path)
            self.assertEqual((head.code, body), (get.code, b""), path)
            names = {name.lower() for name, _ in get.headers.getAllRawHeaders()} - {b"date"}
            for name in names:
                self.assertEqual(head.headers.getRawHeaders(name), get.headers.getRawHeaders(name), (path, name))
            self.assertEqual(head.headers.getRawHeaders("content-length"), [str(len(content))])

    def test_options_says_what_is_possible(self) -> None:
        response, body = self.ask("/book", "OPTIONS")
        self.assertEqual((response.code, body), (204, b""))
        self.assertEqual(response.headers.getRawHeaders("allow"), ["GET, HEAD, OPTIONS"])

    def test_where_there_is_nothing(self) -> None:
        for path in ("/", "/bok", "/book/", "/book/BTC", "/BOOK", "/books/..", "/<script>", "///book"):
            response, body = self.ask(path)
            self.assertEqual(response.code, 404, path)
            self.assertEqual(json.loads(body)["title"], "Not Found")


class HealthTests(HttpApiTestCase):
    def test_alive_whatever_the_feeds_do(self) -> None:
        carry(self.market, "tBTCUSD")
        self.assertEqual(self.get("/livez"), (200, {"alive": True}))

    def test_ready_when_every_feed_is_live(self) -> None:
        live_book(self.market)
        trades = carry(self.market, "tBTCUSD", ChannelName.TRADES)
        status, document = self.get("/readyz")
        self.assertEqual((status, document["ready"]), (503, False))
        since = {"state": "connecting", "since": "2026-09-23T03:33:34.850Z"}
        expected = [{"what": "BTC/USD trades", **since, "reason": "not connected yet"}]
        self.assertEqual(document["not_ready"], expected)
        self.assertIn("BTC/USD trades", document["detail"])
        assert isinstance(trades, TradeFeed)
        trades.snapshot(Rows(2, [], 1, None), moment(2))
        self.assertEqual(self.get("/readyz"), (200, {"ready": True}))

    def test_what_others_watch_over_counts_too(self) -> None:
        live_book(self.market)
        reasons: list[str | None] = ["the disk is full", None]
        self.api.add_readiness("trade.csv", lambda: reasons[0])
        status, document = self.get("/readyz")
        self.assertEqual((status, document["not_ready"]), (503, [{"what": "trade.csv", "reason": "the disk is full"}]))
        reasons.pop(0)
        self.assertEqual(self.get("/readyz")[0], 200)
        self.assertRaises(ValueError, self.api.add_readiness, "trade.csv", lambda: None)


class StatusTests(HttpApiTestCase):
    def test_one_object_with_everything(self) -> None:
        live_book(self.market)
        carry(self.market, "tBTCUSD", ChannelName.TRADES)
        self.api.add_status("connections", lambda: [{"channels": 2}])
        self.now = moment(12.5)
        status, document = self.get("/status")
        self.assertEqual(status, 200)
        self.assertEqual((document["version"], document["uptime_s"]), ("1.2.3", 12.5))
        self.assertEqual([feed["channel"] for feed in document["feeds"]], ["book", "trades"])
        self.assertEqual([feed["status"] for feed in document["feeds"]], ["live", "connecting"])
        self.assertEqual(document["connections"], [{"channels": 2}])

    def test_a_file_whose_name_is_no_text(self) -> None:
        """A folder of another encoding, or another locale: the name is not exact, and the rest is told all the same."""
        live_book(self.market)
        path = os.fsdecode(b"/L\xfccken/trade.csv")
        self.api.add_status("recorders", lambda: {"tBTCUSD": {"file": path}})
        self.api.add_readiness("trade.csv", lambda: f"{path}: no space left")
        self.assertEqual(self.get("/status")[1]["recorders"], {"tBTCUSD": {"file": "/L?cken/trade.csv"}})
        self.assertEqual(self.get("/readyz")[1]["not_ready"][0]["reason"], "/L?cken/trade.csv: no space left")

    def test_a_section_has_one_owner(self) -> None:
        self.api.add_status("connections", list)
        for name in ("connections", "feeds", "version"):
            self.assertRaises(ValueError, self.api.add_status, name, list)

    def test_the_books_and_where_to_read_them(self) -> None:
        live_book(self.market)
        carry(self.market, "tETHUSD")
        _, document = self.get("/books")
        self.assertEqual([book["status"] for book in document["books"]], ["live", "connecting"])
        self.assertEqual(document["books"][1]["reason"], "not connected yet")
        for book in document["books"]:
            self.assertIn(self.get(book["url"])[0], (200, 503))

    def test_books_that_come_and_go_while_the_daemon_runs(self) -> None:
        live_book(self.market)
        self.assertEqual(self.get("/book")[0], 200)
        del self.market.books["tBTCUSD"]
        live_book(self.market, "tETHUSD")
        self.assertEqual(self.get("/book")[1]["symbol"], "ETH/USD")


class Leaf(Resource):
    isLeaf = True

    def __init__(self, answer: Callable[[], bytes]) -> None:
        super().__init__()
        self.answer = answer

    def render_GET(self, request: Any) -> bytes:
        return self.answer()


class MountTests(HttpApiTestCase):
    def test_other_resources_stand_beside_the_routes(self) -> None:
        self.api.mount("/metrics", Leaf(lambda: b"numbers"))
        self.api.mount("/ws/2", Leaf(lambda: b"relay"))
        self.assertEqual(self.ask("/metrics")[1], b"numbers")
        self.assertEqual(self.ask("/ws/2")[1], b"relay")
        self.assert_problem("/metrics", 405, method="POST")
        self.assertEqual(self.ask("/metrics/x")[0].code, 404)
        self.assertEqual(self.ask("/livez")[0].code, 200)


class FaultTests(HttpApiTestCase):
    def test_a_bug_is_logged_and_told_without_its_traceback(self) -> None:
        self.api.add_status("broken", lambda: 1 // 0)
        self.api.mount("/broken", Leaf(lambda: b"" + 1))  # type: ignore[operator]
        for path, kind in (("/status", ZeroDivisionError), ("/broken", TypeError)):
            document = self.assert_problem(path, 500, "in its log")
            self.assertNotIn("Error", str(document["detail"]))
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
        self.assertEqual(self.ask("/livez")[0].code, 200)

    def test_what_fails_later_is_told_too(self) -> None:
        waiting: Deferred[bytes] = Deferred()
        self.api.add_slow_route("/later", lambda request: waiting)
        asked = self.treq.get("http://localhost/later")
        waiting.errback(KeyError("x"))
        self.treq.flush()
        self.assertEqual(self.successResultOf(asked).code, 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
