"""TLS over real sockets, with a good certificate and bad ones: who is refused, and whether the log says why."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, wrapServerTLS
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, PrivateCertificate, TLSVersion
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface import provider

from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.feed.endpoint import Endpoints
from bfxtwist.feed.pairs import fetch_listing
from bfxtwist.feed.rest import RequestFailed
from bfxtwist.feed.tls import ExplainedTLS
from tests.core.conversation import BOOK
from tests.feed.sockets import RealFeed

NOW = datetime.now(UTC)


class Certificates(TestCase):
    """The exchange shows a certificate."""

    timeout = 20

    def setUp(self) -> None:
        self.authority = trustme.CA()
        self.log: list[str] = []

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            text = formatEvent(event)
            if event.get("log_namespace") == "bfxtwist.feed.connection" and " ended, " in text:
                self.log.append(text)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def trusted(self, authority: trustme.CA) -> Path:
        path = Path(self.mktemp())
        authority.cert_pem.write_to_path(str(path))
        return path

    async def connect(self, url: str, until: str, authority: trustme.CA | None = None) -> None:
        """A feed is started, and goes on until its book is in this state or its log says so."""
        feed = RealFeed(url, [BOOK], ca_file=self.trusted(authority or self.authority))
        while feed.market.feed(BOOK).state != until and not any(until in line for line in self.log):
            await deferLater(reactor, 0.01)
        await feed.service.stopService()

    async def exchange(self, certificate: trustme.LeafCert, **more: Any) -> EmbeddedExchange:
        loaded = PrivateCertificate.loadPEM(certificate.private_key_and_cert_chain_pem.bytes())
        key, shown = loaded.privateKey.original, loaded.original
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        secured = wrapServerTLS(CertificateOptions(privateKey=key, certificate=shown, **more), endpoint)
        exchange = EmbeddedExchange(reactor, SimulatedMarket(), endpoint=secured)
        await exchange.start()
        self.addCleanup(exchange.stop)
        return exchange

    async def refused(
        self, why: str, certificate: trustme.LeafCert, authority: trustme.CA | None = None, **more: Any
    ) -> None:
        """The feed does not take this certificate, and its log says why."""
        exchange = await self.exchange(certificate, **more)
        await self.connect(exchange.ws_url.replace("ws:", "wss:"), why, authority)
        self.assertIn("tls", self.log[0])
        self.assertEqual(exchange.sockets.sockets, set())

    async def test_good_by_address_and_by_name(self) -> None:
        exchange = await self.exchange(self.authority.issue_cert("127.0.0.1", "localhost"))
        url = exchange.ws_url.replace("ws:", "wss:")
        await self.connect(url, "live")
        await self.connect(url.replace("127.0.0.1", "localhost"), "live")
        self.assertEqual(self.log, [])

    async def test_expired(self) -> None:
        certificate = self.authority.issue_cert("127.0.0.1", not_after=NOW - timedelta(days=1))
        await self.refused("has expired", certificate)

    async def test_not_yet_valid(self) -> None:
        certificate = self.authority.issue_cert("127.0.0.1", not_before=NOW + timedelta(days=1))
        await self.refused("not yet valid", certificate)

    async def test_wrong_host(self) -> None:
        certificate = self.authority.issue_cert("exchange.test")
        await self.refused("for another host, not for 127.0.0.1;", certificate)
        exchange = await self.exchange(certificate)
        url = exchange.ws_url.replace("ws:", "wss:").replace("127.0.0.1", "localhost")
        await self.connect(url, "for another host, not for localhost;")
        self.assertIn("not for localhost", self.log[-1])

    async def test_history_is_refused_in_the_same_words(self) -> None:
        exchange = await self.exchange(self.authority.issue_cert("exchange.test"))
        endpoints = Endpoints(reactor, ca_file=self.trusted(self.authority), environ={})
        agent = Agent.usingEndpointFactory(reactor, endpoints, HTTPConnectionPool(reactor, persistent=False))
        url = exchange.rest_url.replace("http:", "https:")
        asked = Deferred.fromCoroutine(fetch_listing(HTTPClient(agent), url, reactor))
        failure = await self.assertFailure(asked, RequestFailed)
        self.assertEqual(str(failure), "the certificate is for another host, not for 127.0.0.1")

    async def test_no_name_at_all(self) -> None:
        await self.refused("for another host, not for 127.0.0.1;", self.authority.issue_cert("exchange@example.test"))

    async def test_names_that_cannot_be_read(self) -> None:
        await self.refused("for another host, not for 127.0.0.1;", self.authority.issue_cert("*.test", "exchange.test"))
        exchange = await self.exchange(self.authority.issue_cert("*.test", "127.0.0.1", "localhost"))
        url = exchange.ws_url.replace("ws:", "wss:")
        self.log.clear()
        await self.connect(url, "live")
        await self.connect(url.replace("127.0.0.1", "localhost"), "live")
        self.assertEqual(self.log, [])

    async def test_names_of_no_kind(self) -> None:
        """Made by hand, with a common name alone, which has not counted for long; an authority's own is like that."""
        own = trustme.LeafCert(self.authority.private_key_pem.bytes(), self.authority.cert_pem.bytes(), [])
        await self.refused("has no subjectAltName that says that it is for 127.0.0.1;", own)

    async def test_unknown_authority(self) -> None:
        await self.refused("unknown authority", self.authority.issue_cert("127.0.0.1"), authority=trustme.CA())

    async def test_old_versions(self) -> None:
        old = {"insecurelyLowerMinimumTo": TLSVersion.TLSv1_0, "lowerMaximumSecurityTo": TLSVersion.TLSv1_1}
        await self.refused("alert protocol version", self.authority.issue_cert("127.0.0.1"), **old)

    async def test_plain_text(self) -> None:
        class Plain(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port: IListeningPort = await endpoint.listen(Factory.forProtocol(Plain))
        self.addCleanup(port.stopListening)
        address: Any = port.getHost()
        await self.connect(f"wss://127.0.0.1:{address.port}/ws/2", "wrong version number")


class Authorities(TestCase):
    """--ca-file."""

    def test_what_is_no_certificate(self) -> None:
        for content in (b"", b"hello", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"):
            path = Path(self.mktemp())
            path.write_bytes(content)
            with self.assertRaises(ValueError) as caught:
                ExplainedTLS("exchange.test", path)
            self.assertIn("--ca-file", str(caught.exception))

    def test_several_in_one_file(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"# two of them\n" + trustme.CA().cert_pem.bytes() + b"\n" + trustme.CA().cert_pem.bytes())
        ExplainedTLS("exchange.test", path)
