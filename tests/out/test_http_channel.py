"""One connection, byte by byte and in memory: slow, large, malformed and pipelined requests."""

import json
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from bfxtwist.out.http_channel import LINGER_BYTES, LINGER_SECONDS, Phase
from tests.out.counting import SiteTestCase
from tests.out.served import Client, request, responses


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
            (request()[:-2] + b"X: y\r\n" * 501 + b"\r\n", 431),
            (request()[:-2] + b"X: %b\r\n" % (b"y" * 9000) * 2 + b"\r\n", 431),
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

    def test_who_speaks_tls_is_not_kept_waiting(self) -> None:
        """As a browser does that tries https:// first. Its greeting need not have the end of a line in it."""
        client = Client(self.site())
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        self.assertEqual([response.status for response in client.received], [400])
        self.assertTrue(client.closed)

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
    @settings(max_examples=150)
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
    @settings(max_examples=100)
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
