"""Where a URL of the exchange leads."""

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, Agent

from bfxtwist.feed.endpoint import Endpoints, apart_from_password, exchange_endpoint


class Urls(SynchronousTestCase):
    """ws, wss, http, https."""

    def connects_to(self, url: str, **environ: str) -> tuple[str, int]:
        reactor: Any = MemoryReactorClock()
        endpoint = exchange_endpoint(reactor, url, environ=environ)
        endpoint.connect(Factory.forProtocol(Protocol)).addErrback(lambda _: None)
        host, port = reactor.tcpClients[0][:2]
        return host, port

    def test_ports(self) -> None:
        for url, port in (
            ("ws://127.0.0.1/ws/2", 80),
            ("http://127.0.0.1/v2", 80),
            ("wss://127.0.0.1/ws/2", 443),
            ("https://127.0.0.1/v2", 443),
            ("ws://127.0.0.1:9999/ws/2", 9999),
            ("wss://127.0.0.1:8443/ws/2", 8443),
        ):
            self.assertEqual(self.connects_to(url), ("127.0.0.1", port))

    def test_only_tls_goes_through_the_proxy(self) -> None:
        proxy = "http://127.0.0.1:3128"
        self.assertEqual(self.connects_to("wss://127.0.0.1/ws/2", HTTPS_PROXY=proxy), ("127.0.0.1", 3128))
        self.assertEqual(self.connects_to("ws://127.0.0.1/ws/2", HTTPS_PROXY=proxy), ("127.0.0.1", 80))
        spared = self.connects_to("wss://127.0.0.1/ws/2", HTTPS_PROXY=proxy, NO_PROXY="127.0.0.1")
        self.assertEqual(spared, ("127.0.0.1", 443))

    def test_plain_urls_are_not_wrapped(self) -> None:
        reactor: Any = MemoryReactorClock()
        self.assertIsInstance(exchange_endpoint(reactor, "ws://exchange.test/ws/2", environ={}), HostnameEndpoint)

    def test_a_password_is_no_part_of_where_it_leads(self) -> None:
        self.assertEqual(apart_from_password("wss://127.0.0.1:8443/ws/2"), ("wss://127.0.0.1:8443/ws/2", {}))
        place, headers = apart_from_password("wss://me:to%3Ak@n@127.0.0.1:8443/ws/2")
        self.assertEqual((place, headers["Authorization"]), ("wss://127.0.0.1:8443/ws/2", "Basic bWU6dG86a0Bu"))
        self.assertEqual(self.connects_to("ws://me:token@127.0.0.1:8443/ws/2"), ("127.0.0.1", 8443))

    def test_what_cannot_be(self) -> None:
        for url in ("wss:///ws/2", "exchange.test", "ftp://exchange.test", ""):
            with self.assertRaises(ValueError, msg=url):
                exchange_endpoint(None, url, environ={})
        with self.assertRaises(ValueError):
            exchange_endpoint(None, "wss://exchange.test", environ={"HTTPS_PROXY": "socks5://127.0.0.1"})


class Servers(SynchronousTestCase):
    """All that goes to one server shares an endpoint, and in TLS its authorities, of which each set takes 0.9 MB."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.endpoints = Endpoints(self.reactor, ca_file=None, environ={})

    def test_one_server_has_one(self) -> None:
        feed = self.endpoints.to("wss://127.0.0.1/ws/2")
        self.assertIs(self.endpoints.to("wss://127.0.0.1/ws/2"), feed)
        for path in (b"/v2/conf/pub:info:pair", b"/v2/trades/tBTCUSD/hist?limit=1000"):
            self.assertIs(self.endpoints.endpointForURI(URI.fromBytes(b"https://127.0.0.1" + path)), feed)

    def test_others_have_their_own(self) -> None:
        urls = ("wss://127.0.0.1/", "ws://127.0.0.1/", "wss://127.0.0.2/", "wss://127.0.0.1:8443/", "http://127.0.0.1:443/")
        self.assertEqual(len({id(self.endpoints.to(url)) for url in urls}), len(urls))

    def test_requests_go_there(self) -> None:
        agent = Agent.usingEndpointFactory(self.reactor, self.endpoints)
        for path in (b"one", b"two"):
            agent.request(b"GET", b"http://127.0.0.1:8080/" + path)
        self.assertEqual([client[:2] for client in self.reactor.tcpClients], [("127.0.0.1", 8080)] * 2)

    def test_what_cannot_be_is_told_each_time(self) -> None:
        for _ in range(2):
            with self.assertRaises(ValueError):
                self.endpoints.to("wss:///ws/2")
