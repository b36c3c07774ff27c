"""The site on an `ssl:` endpoint, on real sockets: TLS is a protocol of its own between the site and its sockets."""

import json
from pathlib import Path
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any

import trustme
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.internet.tcp import Connection
from twisted.trial.unittest import TestCase

from bfxtwist.core.feed_state import FeedState
from bfxtwist.out import relay_client
from tests.core.conversation import BOOK
from tests.exchange.clients import until
from tests.feed.sockets import RealFeed, reactor
from tests.out.served import request, responses
from tests.out.test_listen import Raw
from tests.out.test_relay_sockets import Subscriber
from tests.page.served import ServedPage


class OverTlsTest(TestCase):
    """What is served over plain TCP is served over TLS, and bounded as there."""

    timeout = 60

    async def serve(self, **options: Any) -> ServedPage:
        """With a book that is live, and a certificate that `self.authority` vouches for."""
        self.authority = trustme.CA()
        self.key, self.chain = Path(self.mktemp()), Path(self.mktemp())
        self.issue(self.key, self.chain)
        description = f"ssl:0:interface=127.0.0.1:privateKey={self.key}:certKey={self.chain}"
        served = ServedPage(description=description, **options)
        self.addCleanup(lambda: served.stop() if served.http.running else None)
        await served.start()
        await until(lambda: all(feed.state is FeedState.LIVE for feed in served.market.feeds()))
        return served

    def issue(self, *paths: Path) -> None:
        """Write a new key, and a certificate of it unless the key alone is asked for."""
        certificate = self.authority.issue_cert("localhost", "127.0.0.1")
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        for path, content in zip(paths, (certificate.private_key_pem.bytes(), chain), strict=False):
            path.write_bytes(content)

    async def connect(self, served: ServedPage, protocol: Any) -> Any:
        """A client that has verified the certificate."""
        trust = trustRootFromCertificates([Certificate.loadPEM(self.authority.cert_pem.bytes())])
        endpoint = HostnameEndpoint(reactor, b"127.0.0.1", int(served.url.rpartition(":")[2]))
        return await connectProtocol(wrapClientTLS(optionsForClientTLS("localhost", trust), endpoint), protocol)

    async def test_book(self) -> None:
        """Again and again on one connection, and several requests at once."""
        served = await self.serve()
        self.assertTrue(served.url.startswith("https://127.0.0.1:"))
        client: Raw = await self.connect(served, Raw())
        for _ in range(3):
            response = await client.ask(request("/book"))
            self.assertEqual((response.status, json.loads(response.body)["status"]), (200, "live"))
        client.received = b""
        client.transport.write(request("/livez") * 20)  # type: ignore[union-attr]
        await until(lambda: client.received.count(b'{"alive":true}') == 20)
        self.assertEqual({response.status for response in responses(client.received)}, {200})
        client.transport.loseConnection()  # type: ignore[union-attr]
        await client.lost

    async def test_refusals_arrive_and_end_the_connection(self) -> None:
        """Also while more is on its way than is read."""
        served = await self.serve()
        for data, status in (
            (request("/book", "Content-Length: 200000", method="POST") + b"x" * 200_000, 413),
            (b"y" * 70_000, 431),
            (b"junk\r\n\r\n", 400),
        ):
            client: Raw = await self.connect(served, Raw())
            self.assertEqual((await client.ask(data)).status, status)
            await client.lost

    async def test_a_certificate_that_is_renewed(self) -> None:
        """Who comes then is shown the new one, who is there is not disturbed; a pair that is none changes nothing."""
        served = await self.serve()
        there: Raw = await self.connect(served, Raw())
        old = await self.shown(served)
        self.issue(self.key)
        self.assertIn("do not belong together", str(self.assertRaises(ValueError, served.http.read_certificates)))
        self.assertEqual(await self.shown(served), old)
        self.issue(self.key, self.chain)
        self.assertEqual(await self.shown(served), old)
        served.http.read_certificates()
        new = await self.shown(served)
        self.assertNotEqual(new, old)
        self.chain.unlink()
        self.assertIn("No such file", str(self.assertRaises(ValueError, served.http.read_certificates)))
        self.assertEqual(await self.shown(served), new)
        self.assertEqual((await there.ask(request("/book"))).status, 200)
        there.transport.loseConnection()  # type: ignore[union-attr]
        await there.lost

    async def shown(self, served: ServedPage) -> int:
        """The serial number of the certificate that a new client is shown."""
        client: Raw = await self.connect(served, Raw())
        await client.ask(request("/livez"))
        number: int = client.transport.getPeerCertificate().get_serial_number()  # type: ignore[union-attr]
        client.transport.loseConnection()  # type: ignore[union-attr]
        await client.lost
        return number

    async def test_a_daemon_reads_the_relay_of_a_daemon(self) -> None:
        """Over wss://, with every checksum right."""
        served = await self.serve(rate=5, heartbeat=1.0)
        ca_file = Path(self.mktemp())
        self.authority.cert_pem.write_to_path(str(ca_file))
        self.assertTrue(served.ws_url.startswith("wss://"))
        second = RealFeed(served.ws_url, [BOOK], ca_file=ca_file)
        self.addCleanup(second.service.stopService)
        counts = second.market.feed(BOOK).counts
        await until(lambda: counts.checksums_matched >= 2)
        self.assertEqual((counts.checksums_mismatched, second.uplink.ends), (0, {}))

    async def test_who_reads_nothing_is_ended(self) -> None:
        """The bounds on what is kept for a reader are those of its socket, below TLS."""
        self.patch(relay_client, "SEND_BUFFER", 4096)
        self.patch(Connection, "bufferSize", 8192)
        served = await self.serve(rate=20, unread_seconds=1.0)
        dead, alive = [await self.connect(served, Subscriber()) for _ in range(2)]
        for reader in (dead, alive):
            self.addCleanup(reader.transport.abortConnection)
        await until(lambda: served.relay.status().connections == 2)
        below = dead.transport.transport
        below.pauseProducing()
        below.getHandle().setsockopt(SOL_SOCKET, SO_RCVBUF, 2048)
        await until(lambda: served.relay.status().ended == {"too slow": 1})
        await until(lambda: served.relay.status().connections == 1)
        mark = len(alive.data)
        await until(lambda: len(alive.data) > mark)
        self.assertFalse(alive.closed)

    async def test_stopping(self) -> None:
        """Idle connections and readers of the relay end, and the service waits for no more than that."""
        served = await self.serve()
        idle: Raw = await self.connect(served, Raw())
        await idle.ask(request("/livez"))
        reader: Subscriber = await self.connect(served, Subscriber())
        await until(lambda: served.relay.status().readers)
        await served.stop()
        await idle.lost
        await until(lambda: reader.closed)
        self.assertIn(b"the daemon stops", bytes(reader.data))
