"""The server under the routes, in memory: what every answer has, how many connections there may be, who takes one over."""

from typing import Any

from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol

from bfxtwist.core.market import Market
from bfxtwist.out.http import HttpApi
from bfxtwist.out.http_channel import LINGER_SECONDS
from bfxtwist.out.site import Site
from tests.out.counting import SiteTestCase
from tests.out.served import Client, live_book, moment, request, site_of


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
