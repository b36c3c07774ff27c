"""Which requests are answered without Klein's detour, and that nobody can tell from the answer."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from klein.resource import KleinResource
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.out.guard import guard
from bfxtwist.out.http import HttpApi
from bfxtwist.out.http_channel import HttpChannel
from bfxtwist.out.latest_trades import LatestTrades
from bfxtwist.out.openapi import serve_openapi
from bfxtwist.out.page_files import serve_page
from bfxtwist.out.site import Site
from tests.out.served import Client, carry, live_book, moment, request, site_of

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "BREW", "get"]
PATHS = [
    "/book", "/books", "/livez", "/readyz", "/status", "/trades", "/openapi.json", "/", "/page/page.js", "/broken",
    "/broken", "/bok", "/book/", "/book//", "/b%6fok", "/BOOK", "/book;a=b", "/book%3Fdepth=1", "/book%00", "/book/..",
    "//book", "/%ff", "book", "*", "http://localhost/book", "http://127.0.0.1:8080/book?depth=1",
]  # fmt: skip
QUERIES = [
    "", "?", "?depth=1", "?depth=0", "?pair=BTC/USD", "?pair=ETHUSD", "?stale=ok", "?x=1", "?limit=1&format=csv", "?%FF",
]  # fmt: skip
FIELDS = [
    "Accept-Encoding: gzip", "If-None-Match: *", 'If-None-Match: W/"x"', "Origin: https://a.example", "Cookie: a=b",
    "Origin: https://b.example", "Access-Control-Request-Method: GET", "Connection: close", "Expect: 100-continue",
    "Authorization: Bearer x", "Upgrade: websocket", "X-Odd: \xff",
]  # fmt: skip
HOSTS = ["localhost", "127.0.0.1:8080", "evil.example", ""]


class Broken(Resource):
    """A mounted resource with a bug."""

    isLeaf = True

    def render_GET(self, request: object) -> bytes:
        raise ZeroDivisionError


def whole_api() -> HttpApi:
    """All routes whose answers do not depend on when they are asked."""
    market = Market()
    live_book(market, levels=60)
    carry(market, "tBTCUSD", ChannelName.TRADES)
    api = HttpApi(market, moment, "1.2.3")
    serve_page(api)
    serve_openapi(api, "1.2.3")
    LatestTrades(api, market, lambda symbol: None)
    api.mount("/broken", Broken())
    return api


def site_by(api: HttpApi, *, klein_alone: bool = False, protocol: type[HttpChannel] = HttpChannel) -> Site:
    """A site in memory that takes Klein's detour or not, with channels that know repetitions or not."""
    resource = KleinResource(api._app) if klein_alone else api.resource()
    site = site_of(resource, Clock(), guard(origins=["https://a.example"]), requests_per_turn=1000)
    site.protocol = protocol  # type: ignore[assignment]
    return site


def undated(data: bytes) -> bytes:
    """What was sent, without its times."""
    return re.sub(rb"\r\nDate: [^\r]+ GMT\r\n", b"\r\nDate: -\r\n", data)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Requests as they come and as they should not."""
    method, path, query = draw(st.sampled_from(METHODS)), draw(st.sampled_from(PATHS)), draw(st.sampled_from(QUERIES))
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=2, unique=True))
    data = request(path + query, *fields, method=method, host=draw(st.sampled_from(HOSTS)))
    return data.replace(b"HTTP/1.1", b"HTTP/1.0") if draw(st.integers(0, 9)) == 0 else data


class RoutesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = whole_api()

    def test_every_route_and_nothing_else_is_answered_at_once(self) -> None:
        routes = self.api.resource()
        plain = ("/book", "/books", "/livez", "/readyz", "/status", "/trades", "/openapi.json", "/", "/page/page.js")
        for path in plain:
            for method in (b"GET", b"HEAD", b"POST", b"OPTIONS", b"get"):
                there_is = routes.route_of(method, path.encode()) is not None
                self.assertEqual(there_is, method in (b"GET", b"HEAD"), (method, path))
        for path in ("/page/", "/broken", "/book/", "/b%6fok", "/BOOK", "/bok", "*", "/\xff"):
            self.assertIsNone(routes.route_of(b"GET", path.encode("latin-1")), path)

    def test_a_route_that_comes_later_is_found(self) -> None:
        routes = self.api.resource()
        self.assertIsNone(routes.route_of(b"GET", b"/late"))
        self.api.add_route("/late", lambda request: b"")
        self.assertIsNotNone(routes.route_of(b"GET", b"/late"))

    @given(requests())
    @settings(max_examples=400)
    def test_klein_alone_answers_the_same(self, data: bytes) -> None:
        answers = []
        for klein_alone in (True, False):
            site = site_by(self.api, klein_alone=klein_alone)
            client = Client(site)
            client.send(data)
            answers.append((undated(client.transport.value()), client.closed, site.answered))
        self.assertEqual(answers[0], answers[1])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_a_bug_in_a_route_is_told_the_same(self) -> None:
        self.api.add_status("wrong", lambda: 1 // 0)
        answers = []
        for klein_alone in (True, False):
            client = Client(site_by(self.api, klein_alone=klein_alone))
            client.send(request("/status"))
            answers.append(undated(client.transport.value()))
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(answers[0], answers[1])
        self.assertIn(b" 500 ", answers[0])
