"""The server under the routes, byte by byte and in memory: slow, large, many and malformed clients."""

import json
import tempfile
from typing import Any

from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from bfxtwist.core.market import Market
from bfxtwist.out.http import HttpApi
from bfxtwist.out.site import LINGER_BYTES, LINGER_SECONDS, Phase, Site
from tests.out.served import Client, TurningClock, live_book, moment, request, responses, site_of


class Counting(Resource):
    """Answers with the number of the request, or later when the path says so."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[bytes] = []
        self.waiting: list[Any] = []
        self.size = 0

    def render_GET(self, request: Any) -> bytes | int:
        self.paths.append(request.path)
        if request.path == b"/later":
            self.waiting.append(request)
            return NOT_DONE_YET
        if request.path == b"/broken":
            raise ZeroDivisionError
        return b"%b %d" % (request.path, len(self.paths)) + b"." * self.size


class SiteTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = TurningClock()
        self.resource = Counting()

    def site(self, **limits: Any) -> Site:
        return site_of(self.resource, self.clock, **limits)

    def lose(self, client: Client) -> None:
        client.channel.connectionLost(Failure(ConnectionDone()))


class HeadDeadlineTests(SiteTestCase):
    def test_a_head_in_dribbles_is_cut_ten_seconds_after_its_first_byte(self) -> None:
        client = Client(self.site())
        for byte in request()[:-2]:
            if client.closed:
                break
            client.send(bytes([byte]))
            self.clock.advance(0.5)
        self.assertEqual(self.clock.seconds(), 10)
        self.assertEqual([response.status for response in client.received], [408])
        self.assertEqual(self.resource.paths, [])

    def test_a_first_line_without_an_end_is_cut_too(self) -> None:
        client = Client(self.site())
        client.send(b"G")
        self.clock.advance(10)
        self.assertEqual((client.received[0].status, client.closed), (408, True))

    def test_the_second_request_of_a_connection_has_its_own_ten_seconds(self) -> None:
        client = Client(self.site())
        for _ in range(4):
            self.clock.advance(8)
            client.send(request()[:-2])
            self.clock.advance(8)
            client.send(b"\r\n")
        self.assertEqual([response.status for response in client.received], [200] * 4)
        client.send(b"GET")
        self.clock.advance(10)
        self.assertEqual(client.received[-1].status, 408)

    def test_a_dribble_behind_a_whole_request_is_cut(self) -> None:
        client = Client(self.site())
        client.send(request() + b"GET / HTTP/1.1\r\nX: ")
        for _ in range(10):
            self.assertFalse(client.closed)
            client.send(b"x")
            self.clock.advance(1)
        self.assertEqual([response.status for response in client.received], [200, 408])

    def test_lines_behind_a_whole_request_are_the_first_bytes_of_the_next(self) -> None:
        client = Client(self.site())
        client.send(request() + b"GET / HTTP/1.1\r\nX: y\r\n")
        self.clock.advance(10)
        self.assertEqual([response.status for response in client.received], [200, 408])

    def test_a_request_that_is_served_for_long_is_not_cut_whatever_follows_it(self) -> None:
        client = Client(self.site())
        client.send(request("/later") + b"GET /ne")
        self.clock.advance(1000)
        self.assertFalse(client.closed)
        self.resource.waiting[0].finish()
        client.send(b"xt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(self.resource.paths, [b"/later", b"/next"])

    def test_nothing_is_left_behind(self) -> None:
        for data in (b"", b"GE", request(), request("/later"), b"junk\r\n\r\n", request() + b"GET"):
            client = Client(self.site())
            client.send(data)
            self.lose(client)
            self.clock.turn()
            self.assertEqual([call for call in self.clock.getDelayedCalls() if call.active()], [], data)


class IdleTests(SiteTestCase):
    def test_an_idle_connection_ends_after_thirty_seconds(self) -> None:
        client = Client(self.site())
        self.clock.advance(29)
        client.get()
        self.clock.advance(29)
        self.assertFalse(client.closed)
        self.clock.advance(1)
        self.assertTrue(client.closed)

    def test_a_client_that_does_not_take_the_end_is_cut(self) -> None:
        client = Client(self.site())
        self.clock.advance(30)
        self.assertFalse(client.transport.disconnected)
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(client.transport.disconnected)

    def test_a_client_that_says_close_and_never_reads_is_cut(self) -> None:
        client = Client(self.site())
        client.get("/", "Connection: close")
        self.assertFalse(client.transport.disconnected)
        self.clock.advance(30)
        self.assertTrue(client.transport.disconnected)


class BodyTests(SiteTestCase):
    BODIES = (
        b"Content-Length: 1\r\n\r\nx",
        b"Content-Length: 2000000000\r\n\r\n",
        b"Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"Content-Length: 99999999999999999999999999\r\n\r\n",
    )

    def test_a_body_is_refused_before_it_is_read(self) -> None:
        self.patch(tempfile, "TemporaryFile", lambda: self.fail("a body was to be kept"))
        for method in ("POST", "PUT", "GET", "BREW"):
            for body in self.BODIES:
                client = Client(self.site())
                client.send(request(method=method)[:-2] + body)
                (response,) = client.received
                self.assertEqual((response.status, response.headers["Connection"]), (413, "close"), (method, body))
                self.assertTrue(client.closed)
        self.assertEqual(self.resource.paths, [])

    def test_what_still_comes_is_thrown_away_and_soon_no_more_taken(self) -> None:
        client = Client(self.site())
        client.send(request(method="POST")[:-2] + self.BODIES[1])
        for _ in range(LINGER_BYTES // 65536):
            client.send(request() + b"x" * (65536 - len(request())))
        self.assertEqual((len(client.received), client.transport.disconnected), (1, False))
        client.send(b"x")
        self.assertTrue(client.transport.disconnected)

    def test_no_body_is_no_body(self) -> None:
        client = Client(self.site())
        self.assertEqual(client.get("/", "Content-Length: 0").status, 200)
        self.assertEqual(client.get("/").status, 200)


#: What requests are made of, in any order.
SHREDS = b"GET |/ |HTTP/1.1|\r\n|Host: localhost|X: y|\n|Content-Length: 3|abc|\0| |:".split(b"|")


class MalformedTests(SiteTestCase):
    def test_what_is_no_request(self) -> None:
        for data, status in (
            (b"junk\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\n\r\n", 400),
            (b"GET  / HTTP/1.1\r\n\r\n", 400),
            (request()[:-2] + b"no colon\r\n\r\n", 400),
            (request()[:-2] + b"no colon\r\nX: y\r\n\r\n", 400),
            (request()[:-2] + b"X: a\rb\r\n\r\n", 400),
            (request()[:-2] + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (request()[:-2] + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
            (request()[:-2] + b"Content-Length: -1\r\n\r\n", 400),
            (request()[:-2] + b"Transfer-Encoding: gzip\r\n\r\n", 400),
            (request()[:-2] + b"X: y\r\n" * 501 + b"\r\n", 400),
            (request()[:-2] + b"X: %b\r\n" % (b"y" * 9000) * 2 + b"\r\n", 400),
            (request()[:-2] + b"X: %b\r\n\r\n" % (b"y" * 17000), 431),
            (b"GET /%b" % (b"y" * 17000), 431),
            (b"y" * 70000, 431),
        ):
            client = Client(self.site())
            client.send(data + request("/smuggled"))
            self.assertEqual([response.status for response in client.received], [status], data[:60])
            self.assertEqual(json.loads(client.received[0].body)["status"], status)
            self.assertTrue(client.closed)
        self.assertEqual(self.resource.paths, [])

    def test_targets(self) -> None:
        for path, status in (
            ("//", 404), ("//book", 404), ("/a//b", 404), ("/%ff", 400), ("/%c3%28", 400), ("book", 400), ("*", 405),
            ("/../..", 200), ("/%00", 200), ("/%e2%82%ac", 200), ("/?a=%ff", 200), ("http://localhost", 200),
        ):  # fmt: skip
            self.assertEqual(Client(self.site()).get(path).status, status, path)

    def test_methods_are_case_sensitive(self) -> None:
        self.assertEqual(Client(self.site()).get(method="get").status, 501)

    def test_options_of_the_server(self) -> None:
        self.assertEqual(Client(self.site()).get("*", method="OPTIONS").status, 204)

    @given(st.binary(max_size=200) | st.lists(st.sampled_from(SHREDS), max_size=30).map(b"".join), st.integers(1, 40))
    @settings(max_examples=150, deadline=None)
    def test_whatever_is_sent_leads_to_whole_answers_and_nothing_is_left_open(self, data: bytes, piece: int) -> None:
        self.setUp()
        site = self.site()
        client = Client(site)
        for start in range(0, len(data), piece):
            client.send(data[start : start + piece])
            self.clock.turn()
        for response in responses(client.transport.value()):
            self.assertIn(response.status, (200, 400, 405, 413, 421, 431, 501))
        self.clock.advance(10)
        self.clock.advance(30)
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(client.transport.disconnected or client.closed)
        self.assertEqual(self.flushLoggedErrors(), [])


class HeaderTests(SiteTestCase):
    def test_every_answer_protects_its_reader_and_does_not_name_the_server(self) -> None:
        for path in ("/", "//", "/broken"):
            headers = Client(self.site()).get(path).headers
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["Cross-Origin-Resource-Policy"], "same-origin")
            self.assertEqual(headers["Referrer-Policy"], "no-referrer")
            self.assertEqual(headers["Cache-Control"], "no-store")
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            self.assertIn("Date", headers)
            self.assertNotIn("Server", headers)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_refusals_protect_their_reader_too(self) -> None:
        client = Client(self.site())
        client.send(b"junk\r\n\r\n")
        headers = client.received[0].headers
        self.assertEqual((headers["X-Content-Type-Options"], headers["Connection"]), ("nosniff", "close"))
        self.assertNotIn("Server", headers)

    def test_a_bug_in_a_resource_is_told_without_its_traceback(self) -> None:
        response = Client(self.site()).get("/broken")
        self.assertEqual((response.status, response.headers["Content-Type"]), (500, "application/problem+json"))
        self.assertNotIn(b"ZeroDivision", response.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_answers_are_counted_by_status(self) -> None:
        site = self.site()
        client = Client(site)
        client.get()
        client.get("//")
        client.send(b"junk\r\n\r\n")
        self.assertEqual(site.answered, {200: 1, 404: 1, 400: 1})


class PipeliningTests(SiteTestCase):
    def test_answers_come_in_order_a_portion_in_each_turn(self) -> None:
        client = Client(self.site(requests_per_turn=3))
        client.send(b"".join(request(f"/{number}") for number in range(10)))
        for turn, expected in enumerate((3, 6, 9, 10, 10)):
            self.assertEqual(len(client.received), expected, turn)
            self.clock.turn()
        self.assertEqual([response.body for response in client.received], [b"/%d %d" % (n, n + 1) for n in range(10)])

    def test_connections_take_turns(self) -> None:
        site = self.site(requests_per_turn=2)
        greedy, modest = Client(site), Client(site)
        greedy.send(b"".join(request(f"/greedy{number}") for number in range(6)))
        modest.send(request("/modest"))
        self.clock.turn()
        self.assertEqual(self.resource.paths, [b"/greedy0", b"/greedy1", b"/greedy2", b"/modest"])

    def test_a_client_that_sends_ahead_is_not_read_ahead(self) -> None:
        client = Client(self.site(requests_per_turn=1))
        client.send(request("/1") + request("/2"))
        self.assertTrue(client.reading)
        client.send(request("/3"))
        self.assertFalse(client.reading)
        self.clock.turn()
        self.assertTrue(client.reading)
        self.clock.turn()
        self.assertEqual(self.resource.paths, [b"/1", b"/2", b"/3"])

    def test_while_an_answer_takes_its_time_its_client_is_read_so_that_its_leaving_is_seen(self) -> None:
        client = Client(self.site(requests_per_turn=1))
        client.send(request("/1") + request("/later"))
        client.send(b"GET")
        self.assertFalse(client.reading)
        self.clock.turn()
        self.assertEqual((self.resource.paths, client.reading), ([b"/1", b"/later"], True))

    def test_a_client_that_does_not_read_gets_no_more_answers_and_is_cut(self) -> None:
        client = Client(self.site())
        client.send(request("/1"))
        client.channel.pauseProducing()  # as the transport does when its buffer is full
        client.send(request("/2") + request("/3"))
        for _ in range(5):
            self.clock.turn()
            client.send(request("/more"))
        self.assertEqual((self.resource.paths, client.reading), ([b"/1"], False))
        self.clock.advance(30)
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(client.transport.disconnected)

    def test_a_client_that_reads_again_gets_the_rest(self) -> None:
        client = Client(self.site(requests_per_turn=2))
        client.channel.pauseProducing()
        client.send(request("/1") + request("/2") + request("/3"))
        self.assertEqual(self.resource.paths, [])
        client.channel.resumeProducing()
        self.clock.turn()
        self.assertEqual(self.resource.paths, [b"/1", b"/2", b"/3"])
        self.assertTrue(client.reading)

    def test_a_buffer_that_fills_within_a_turn_holds_the_next_request(self) -> None:
        client = Client(self.site())
        write = client.transport.write

        def fill(data: bytes) -> None:
            write(data)
            client.channel.pauseProducing()

        self.patch(client.transport, "write", fill)
        client.send(request("/1") + request("/2"))
        self.assertEqual(self.resource.paths, [b"/1"])

    def test_a_client_that_leaves_while_it_waits_costs_nothing(self) -> None:
        site = self.site(requests_per_turn=1)
        first, second = Client(site), Client(site)
        first.send(request("/1"))
        second.send(request("/2") + request("/3"))
        self.lose(second)
        self.clock.turn()
        self.clock.turn()
        self.assertEqual((self.resource.paths, site.connections, site.turns.waiting), ([b"/1"], 1, 0))

    def test_an_answer_that_takes_its_time_holds_what_follows(self) -> None:
        client = Client(self.site())
        client.send(request("/later") + request("/next"))
        self.assertEqual(self.resource.paths, [b"/later"])
        self.resource.waiting[0].finish()
        self.assertEqual(self.resource.paths, [b"/later", b"/next"])

    @given(st.lists(st.sampled_from(["/a", "/later", "/b"]), max_size=12), st.integers(1, 60), st.integers(1, 4), st.data())
    @settings(max_examples=100, deadline=None)
    def test_however_it_is_cut_and_delayed_every_request_is_served_once_and_in_order(
        self, paths: list[str], piece: int, portion: int, data: st.DataObject
    ) -> None:
        self.setUp()
        client = Client(self.site(requests_per_turn=portion))
        stream = b"".join(map(request, paths))
        for start in range(0, len(stream), piece):
            client.send(stream[start : start + piece])
            for happening in data.draw(st.lists(st.sampled_from(["turn", "pause", "resume", "finish"]), max_size=3)):
                self._happen(client, happening)
        for _ in range(3 * len(paths) + 3):
            for happening in ("turn", "resume", "finish"):
                self._happen(client, happening)
        self.assertEqual([path.decode() for path in self.resource.paths], paths)
        self.assertEqual((client.closed, client.channel.phase), (False, Phase.IDLE))

    def _happen(self, client: Client, happening: str) -> None:
        if happening == "turn":
            self.clock.turn()
        elif happening == "pause":
            client.channel.pauseProducing()
        elif happening == "resume":
            client.channel.resumeProducing()
        elif self.resource.waiting:
            self.resource.waiting.pop(0).finish()


class ConnectionBoundTests(SiteTestCase):
    def test_the_one_idle_for_longest_makes_room(self) -> None:
        site = self.site(connections=2)
        first, second = Client(site), Client(site)
        first.get()  # since then, the second has waited for longer
        third = Client(site)
        self.assertEqual([c.transport.disconnected for c in (first, second, third)], [False, True, False])
        self.assertEqual((third.get().status, site.connections), (200, 2))
        Client(site)
        self.assertEqual([c.transport.disconnected for c in (first, third)], [True, False])

    def test_slow_heads_do_not_keep_others_out(self) -> None:
        site = self.site(connections=50)
        slow = [Client(site) for _ in range(500)]
        for client in slow[-50:]:
            client.send(b"GET / HTT")
        self.assertEqual(Client(site).get().status, 200)
        self.assertEqual(site.connections, 50)

    def test_when_all_are_being_served_the_next_is_told_and_many_more_are_not(self) -> None:
        site = self.site(connections=2)
        for _ in range(2):
            Client(site).send(request("/later"))
        told = Client(site)
        (response,) = told.received
        self.assertEqual((response.status, response.headers["Retry-After"], told.closed), (503, "2", True))
        rest = [Client(site) for _ in range(100)]
        self.assertTrue(rest[-1].refused)
        self.assertLess(site.connections, 100)

    def test_those_who_are_told_are_forgotten(self) -> None:
        site = self.site(connections=1)
        Client(site).send(request("/later"))
        told = Client(site)
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(told.transport.disconnected)
        self.lose(told)
        self.assertEqual(site.connections, 1)

    def test_closing_ends_all_and_fires_when_they_are_gone(self) -> None:
        site = self.site()
        clients = [Client(site) for _ in range(3)]
        clients[0].send(request("/later"))
        clients[1].get()
        gone = site.close_connections()
        self.assertTrue(all(client.closed for client in clients))
        self.resource.waiting[0].finish()
        for client in clients:
            self.assertNoResult(gone)
            self.lose(client)
        self.successResultOf(gone)
        self.successResultOf(site.close_connections())


class WebSocketTests(SiteTestCase):
    """Another protocol can take a connection over: the relay will."""

    def setUp(self) -> None:
        super().setUp()
        self.received: list[bytes] = []

    def connect(self, path: str = "/ws/2", **limits: Any) -> tuple[Site, Client]:
        received = self.received

        class Echo(WebSocketServerProtocol):
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                received.append(payload)

        factory = WebSocketServerFactory(reactor=self.clock)
        factory.protocol = Echo
        market = Market()
        live_book(market)
        api = HttpApi(market, moment, "1")
        api.mount("/ws/2", WebSocketResource(factory))
        site = site_of(api.resource(), self.clock, **limits)
        client = Client(site)
        client.transport.protocol = client.channel  # type: ignore[attr-defined]  # as a transport of the reactor has it
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        client.send(request(path, *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        return site, client

    def test_a_handshake_is_answered_and_messages_arrive(self) -> None:
        _, client = self.connect()
        self.assertIn(b"101 Switching Protocols", client.transport.value())
        client.transport.protocol.dataReceived(b"\x81\x82\0\0\0\0hi")  # type: ignore[attr-defined]
        self.assertEqual(self.received, [b"hi"])

    def test_no_deadline_of_http_ends_it_and_its_connection_is_not_counted(self) -> None:
        site, client = self.connect()
        self.clock.advance(10)
        self.clock.advance(30)
        self.assertEqual((client.closed, client.transport.disconnected, site.connections), (False, False, 0))

    def test_it_may_register_a_producer_of_its_own(self) -> None:
        _, client = self.connect()
        self.assertIsNone(client.transport.producer)
