"""Through an HTTP proxy to the exchange."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from bfxtwist.feed.proxy import ProxyNotReached, ProxyRefused, ThroughProxy, connect_request, proxy_for


class Environment(SynchronousTestCase):
    """HTTPS_PROXY and NO_PROXY."""

    def test_the_proxy(self) -> None:
        for environ, port in (
            ({"HTTPS_PROXY": "http://proxy.test:3128"}, 3128),
            ({"https_proxy": "proxy.test:3128"}, 3128),
            ({"HTTPS_PROXY": "http://proxy.test"}, None),
            ({"HTTPS_PROXY": "http://proxy.test:3128", "NO_PROXY": "localhost, .example.com,tfinex.com"}, 3128),
        ):
            proxy = proxy_for("api-pub.bitfinex.com", environ)
            assert proxy is not None
            self.assertEqual((proxy.hostname, proxy.port), ("proxy.test", port))

    def test_none(self) -> None:
        for environ in (
            {},
            {"HTTPS_PROXY": ""},
            {"HTTP_PROXY": "http://proxy.test"},
            {"HTTPS_PROXY": "http://proxy.test", "NO_PROXY": "*"},
            {"HTTPS_PROXY": "http://proxy.test", "NO_PROXY": "localhost,api-pub.bitfinex.com"},
            {"HTTPS_PROXY": "http://proxy.test", "no_proxy": "bitfinex.com"},
            {"HTTPS_PROXY": "http://proxy.test", "no_proxy": ".bitfinex.com"},
        ):
            self.assertIsNone(proxy_for("api-pub.bitfinex.com", environ), environ)

    def test_one_that_cannot_be_used_and_its_password_is_not_told(self) -> None:
        for url in (
            "socks5://me:secret@proxy.test:1080",
            "https://me:secret@proxy.test",
            "http://",
            "http://me:secret@proxy.test:99999",
            "me:secret@proxy.test:port",
            "http://me:secret@proxy test",
            "http://me:secret@[::1",
        ):
            with self.assertRaises(ValueError) as caught:
                proxy_for("api-pub.bitfinex.com", {"HTTPS_PROXY": url})
            self.assertIn("HTTPS_PROXY", str(caught.exception))
            self.assertNotIn("secret", str(caught.exception))


class Recorder(Protocol):
    """Writes down what comes."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = Failure(ConnectionLost())) -> None:  # noqa: B008 - Twisted's own default
        self.lost.append(reason)


class Transport(StringTransport):
    """Knows whether it was aborted."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


@implementer(IStreamClientEndpoint)
class ToProxy:
    """An endpoint whose connections the test completes."""

    def __init__(self) -> None:
        self.connecting: Deferred[IProtocol] = Deferred()

    def connect(self, protocolFactory: Any) -> Deferred[IProtocol]:
        self.factory = protocolFactory
        return self.connecting

    def complete(self) -> tuple[Any, Transport]:
        protocol, transport = self.factory.buildProtocol(None), Transport()
        protocol.makeConnection(transport)
        self.connecting.callback(protocol)
        return protocol, transport


class Tunnels(SynchronousTestCase):
    """CONNECT."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.to_proxy = ToProxy()
        proxy = proxy_for("exchange.test", {"HTTPS_PROXY": "http://me:p%40ss@proxy.test:3128"})
        assert proxy is not None
        endpoint = ThroughProxy(self.reactor, self.to_proxy, "proxy.test:3128", connect_request(proxy, "exchange.test", 443))
        self.connected = endpoint.connect(Factory.forProtocol(Recorder))

    def test_through(self) -> None:
        tunnel, transport = self.to_proxy.complete()
        expected = b"CONNECT exchange.test:443 HTTP/1.1\r\nHost: exchange.test:443\r\n"
        expected += b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
        self.assertEqual(transport.value(), expected)
        for byte in b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n":
            tunnel.dataReceived(bytes([byte]))
        protocol = self.successResultOf(self.connected)
        assert isinstance(protocol, Recorder)
        tunnel.dataReceived(b"hello")
        self.assertEqual(protocol.received, b"hello")
        transport.clear()
        assert protocol.transport is not None
        protocol.transport.write(b"hello yourself")
        self.assertEqual(transport.value(), b"hello yourself")
        tunnel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(protocol.lost), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_refused(self) -> None:
        answers = b"HTTP/1.1 407 Proxy Authentication Required", b"HTTP/1.0 502 Bad Gateway", b"SSH-2.0", b"HTTP/1.1", b""
        for answer in answers:
            self.setUp()
            tunnel, transport = self.to_proxy.complete()
            tunnel.dataReceived(answer + b"\r\n\r\n<html>")
            error = self.failureResultOf(self.connected, ProxyRefused).value
            self.assertEqual(str(error), f"the proxy refused: {answer.decode()}")
            self.assertTrue(transport.aborted)

    def test_its_words_go_to_the_log_and_the_ledger_of_gaps_as_one_line(self) -> None:
        tunnel, _ = self.to_proxy.complete()
        tunnel.dataReceived(b"HTTP/1.1 403 \x1b[2J\rno\r\n\r\n")
        error = self.failureResultOf(self.connected, ProxyRefused).value
        self.assertEqual(str(error), r"the proxy refused: HTTP/1.1 403 \x1b[2J\x0dno")

    def test_an_endless_answer(self) -> None:
        tunnel, transport = self.to_proxy.complete()
        for _ in range(20):
            tunnel.dataReceived(b"x" * 1000)
        self.failureResultOf(self.connected, ProxyRefused)
        self.assertTrue(transport.aborted)

    def test_no_answer(self) -> None:
        _, transport = self.to_proxy.complete()
        self.reactor.advance(16)
        self.failureResultOf(self.connected, ProxyRefused)
        self.assertTrue(transport.aborted)

    def test_closed_instead(self) -> None:
        tunnel, _ = self.to_proxy.complete()
        tunnel.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(self.connected, ProxyRefused)

    def test_no_proxy_there(self) -> None:
        """It is the proxy that is not there, and not the exchange."""
        for error in ConnectionRefusedError(), DNSLookupError("no such name"):
            self.setUp()
            self.to_proxy.connecting.errback(error)
            told = str(self.failureResultOf(self.connected, ProxyNotReached).value)
            self.assertEqual(told, f"the proxy at proxy.test:3128 (HTTPS_PROXY) cannot be reached: {error}")

    def test_given_up(self) -> None:
        _, transport = self.to_proxy.complete()
        self.connected.cancel()
        self.failureResultOf(self.connected)
        self.assertTrue(transport.aborted)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
