"""What may be listened on, and the service on real sockets of this machine."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, HostnameEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from bfxtwist.cannot_listen import CannotListen
from bfxtwist.core.market import Market
from bfxtwist.out.guard import Guard
from bfxtwist.out.http import HttpApi
from bfxtwist.out.http_channel import HttpLimits
from bfxtwist.out.listen import HttpService, check_listen, read_token
from bfxtwist.out.site import Site
from tests.out.served import Response, live_book, moment, request, responses

reactor: Any = _reactor


class CheckListenTests(SynchronousTestCase):
    LOCAL = (
        "tcp:8080:interface=127.0.0.1",
        "tcp:interface=127.0.0.1:port=8080",
        "tcp:8080:interface=127.1.2.3",
        "tcp:8080:interface=localhost",
        r"tcp:8080:interface=\:\:1",
        r"tcp6:8080:interface=\:\:1",
        "ssl:8443:interface=127.0.0.1:privateKey=key.pem",
        "unix:/run/bfxtwist/http.sock:mode=660",
        "systemd:domain=INET:name=http",
    )
    REMOTE = (
        "tcp:8080",
        "tcp:8080:interface=",
        "tcp:8080:interface=0.0.0.0",
        "tcp:8080:interface=192.0.2.1",
        r"tcp6:8080:interface=\:\:",
        "tcp6:8080",
        "tcp:8080:interface=book.example.org",
        "tcp:8080:backlog=5:interface=10.0.0.1",
        "tcp:8080:interface=127.0.0.1:interface=0.0.0.0",
        "haproxy:tcp:8080:interface=127.0.0.1",
        "interface=127.0.0.1",
    )

    def test_this_machine_needs_nothing(self) -> None:
        for description in self.LOCAL:
            check_listen(description)

    def test_beyond_it_must_be_asked_for(self) -> None:
        for description in (*self.REMOTE, "ssl:8443:privateKey=key.pem"):
            for token in (False, True):
                with self.assertRaises(ValueError) as raised:
                    check_listen(description, token=token)
                self.assertIn("--allow-remote", str(raised.exception))

    def test_and_must_be_protected(self) -> None:
        for description in self.REMOTE:
            with self.assertRaises(ValueError) as raised:
                check_listen(description, allow_remote=True)
            self.assertIn("--token-file", str(raised.exception))
            self.assertNotIn("\n", str(raised.exception))
            check_listen(description, allow_remote=True, token=True)
        check_listen("ssl:8443:privateKey=key.pem", allow_remote=True)


    def test_no_unix_socket_of_systemds(self) -> None:
        """Twisted lets everybody in, whatever SocketMode= says, and removes it when it stops."""
        for description in ("systemd:domain=UNIX:index=0", "systemd:UNIX:name=http", "systemd:name=http:domain=UNIX"):
            error = self.assertRaises(ValueError, check_listen, description, allow_remote=True, token=True)
            self.assertIn("listen on unix:", str(error))


class ReadTokenTests(SynchronousTestCase):
    def write(self, content: bytes, mode: int = 0o600) -> Path:
        path = Path(self.mktemp())
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def test_one_word_of_a_file_of_ones_own(self) -> None:
        self.assertEqual(read_token(self.write(b"0123456789abcdef\n")), b"0123456789abcdef")
        self.assertEqual(read_token(self.write(b"0123456789abcdef", 0o400)), b"0123456789abcdef")

    def test_a_credential_of_systemd(self) -> None:
        """With DynamicUser= it is readable by an ACL, of which the mode shows the mask."""
        path = self.write(b"0123456789abcdef", 0o440)
        self.assertRaises(ValueError, read_token, path)
        self.patch(os, "environ", {"CREDENTIALS_DIRECTORY": str(path.parent)})
        self.assertEqual(read_token(path), b"0123456789abcdef")
        path.chmod(0o444)
        self.assertRaises(ValueError, read_token, path)

    def test_what_is_no_secret(self) -> None:
        for content, mode, fix in (
            (b"0123456789abcdef\n", 0o644, "chmod 600"),
            (b"0123456789abcdef\n", 0o640, "chmod 600"),
            (b"short\n", 0o600, "16 bytes"),
            (b"", 0o600, "16 bytes"),
            (b"0123456789 abcdefgh\n", 0o600, "one word"),
            (b"0123456789abcdef\xff\n", 0o600, "one word"),
        ):
            with self.assertRaises(ValueError) as raised:
                read_token(self.write(content, mode))
            self.assertIn(fix, str(raised.exception))
            self.assertNotIn("abcdef", str(raised.exception))

    def test_no_file(self) -> None:
        self.assertRaises(ValueError, read_token, Path(self.mktemp()))
        self.assertRaises(ValueError, read_token, Path())


class Raw(Protocol):
    """The other end: sends what it is told, keeps what comes."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Deferred[None] = Deferred()
        self._wanted: list[Deferred[None]] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        wanted, self._wanted = self._wanted, []
        for waiting in wanted:
            waiting.callback(None)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost.callback(None)

    async def ask(self, data: bytes) -> Response:
        assert self.transport is not None
        self.received = b""
        self.transport.write(data)
        while not (b"\r\n\r\n" in self.received and len(_body(self.received)) >= _length(self.received)):
            self._wanted.append(Deferred())
            await self._wanted[-1]
        return responses(self.received)[0]


def _body(data: bytes) -> bytes:
    return data.split(b"\r\n\r\n", 1)[1]


def _length(data: bytes) -> int:
    return int(data.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


class HttpServiceTests(TestCase):
    def setUp(self) -> None:
        market = Market()
        self.feed = live_book(market, levels=25)
        self.api = HttpApi(market, moment, "1")
        self.clients: list[Raw] = []

    async def serve(self, *descriptions: str, **limits: Any) -> HttpService:
        site = Site(self.api.resource(), reactor, Guard(), HttpLimits(**limits))
        service = HttpService(reactor, descriptions or ["tcp:0:interface=127.0.0.1"], site)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(self._stop, service)
        return service

    async def _end(self, service: HttpService) -> None:
        for client in self.clients:
            if client.transport is not None:
                client.transport.loseConnection()
        if service.running:
            await service.stopService()

    def _stop(self, service: HttpService) -> Deferred[None]:
        return Deferred.fromCoroutine(self._end(service))

    async def connect(self, service: HttpService) -> Raw:
        port = int(service.addresses[0].rsplit(":", 1)[1])
        client: Raw = await connectProtocol(HostnameEndpoint(reactor, b"127.0.0.1", port), Raw())
        self.clients.append(client)
        return client

    async def test_the_book_over_tcp(self) -> None:
        service = await self.serve()
        client = await self.connect(service)
        self.assertRegex(service.addresses[0], r"^http://127\.0\.0\.1:\d+$")
        for _ in range(3):
            response = await client.ask(request("/book"))
            self.assertEqual((response.status, json.loads(response.body)["symbol"]), (200, "BTC/USD"))

    async def test_the_book_over_a_unix_socket(self) -> None:
        path = f"s{os.getpid()}"  # short, and in the temporary folder of trial
        service = await self.serve(f"unix:{path}:mode=660")
        self.assertEqual(service.addresses, [f"unix:{path}"])
        client = await connectProtocol(UNIXClientEndpoint(reactor, path), Raw())
        self.clients.append(client)
        for head in (request("/book"), b"GET /book HTTP/1.0\r\n\r\n"):
            self.assertEqual((await client.ask(head)).status, 200)

    async def test_a_unix_socket_whose_owners_pid_another_process_has_now(self) -> None:
        path = f"l{os.getpid()}"
        os.symlink(str(os.getppid()), f"{path}.lock")
        left = HttpService(reactor, [f"unix:{path}"], Site(self.api.resource(), reactor, Guard()))
        with self.assertRaises(CannotListen) as raised:
            left.privilegedStartService()
        self.assertRegex(str(raised.exception.code), f"{path}.lock says .* remove that file")

    async def test_a_socket_of_systemds_is_of_the_kind_that_was_said(self) -> None:
        for told, family in (("INET", socket.AF_INET), ("INET6", socket.AF_INET6)):
            with socket.create_server(("127.0.0.1", 0)) as given:
                service = HttpService(reactor, [], Site(self.api.resource(), reactor, Guard()))
                endpoint = AdoptedStreamServerEndpoint(reactor, os.dup(given.fileno()), family)
                service._endpoints = [(f"systemd:domain={told}:index=0", endpoint)]
                if told == "INET":
                    service.privilegedStartService()
                    self.assertEqual(service.addresses, [f"http://127.0.0.1:{given.getsockname()[1]}"])
                    await service.stopService()
                else:
                    error = self.assertRaises(CannotListen, service.privilegedStartService)
                    self.assertIn("write domain=INET", str(error))
                    os.close(endpoint.fileno)

    async def test_a_unix_socket_of_systemds_that_is_said_to_be_another(self) -> None:
        """The advice is not to call it what it is, which would be refused next."""
        with socket.socket(socket.AF_UNIX) as given:
            service = HttpService(reactor, [], Site(self.api.resource(), reactor, Guard()))
            endpoint = AdoptedStreamServerEndpoint(reactor, given.fileno(), socket.AF_INET)
            service._endpoints = [("systemd:domain=INET:index=0", endpoint)]
            self.assertIn("): listen on unix:", str(self.assertRaises(CannotListen, service.privilegedStartService)))

    async def test_several_addresses(self) -> None:
        service = await self.serve("tcp:0:interface=127.0.0.1", r"tcp6:0:interface=\:\:1") if socket.has_ipv6 else None
        if service is not None:
            self.assertRegex(service.addresses[1], r"^http://\[::1\]:\d+$")

    async def test_a_port_in_use_ends_the_program_in_one_line(self) -> None:
        service = await self.serve()
        port = service.addresses[0].rsplit(":", 1)[1]
        second = HttpService(reactor, [f"tcp:{port}:interface=127.0.0.1"], Site(self.api.resource(), reactor, Guard()))
        assert IService.providedBy(second)
        with self.assertRaises(CannotListen) as raised:
            second.privilegedStartService()
        self.assertIsInstance(raised.exception, SystemExit)
        text = str(raised.exception.code)
        self.assertIn(f"tcp:{port}", text)
        self.assertIn("in use", text)
        self.assertNotIn("\n", text)

    async def test_a_large_upload_gets_its_answer_and_is_cut(self) -> None:
        client = await self.connect(await self.serve())
        head = request("/book", "Content-Length: 200000", method="POST")
        self.assertEqual((await client.ask(head + b"x" * 200_000)).status, 413)
        await client.lost

    async def test_stopping_ends_idle_connections_and_frees_the_port(self) -> None:
        service = await self.serve()
        client = await self.connect(service)
        await client.ask(request("/livez"))
        port = service.addresses[0].rsplit(":", 1)[1]
        await service.stopService()
        await client.lost
        again = await self.serve(f"tcp:{port}:interface=127.0.0.1")
        self.assertEqual((await (await self.connect(again)).ask(request("/livez"))).status, 200)

    async def test_five_hundred_slow_heads_do_not_keep_the_book_from_its_readers(self) -> None:
        """More than there is room for, so that they must make room as well."""
        service = await self.serve(connections=100)
        slow = [await self.connect(service) for _ in range(500)]
        for client in slow:
            if client.transport is not None:
                client.transport.write(b"GET /book HTTP/1.1\r\nX: ")
        for _ in range(20):
            self.assertEqual((await (await self.connect(service)).ask(request("/book"))).status, 200)
        await deferLater(reactor, 0)

    async def test_a_client_that_never_reads_stops_being_answered(self) -> None:
        service = await self.serve()
        client = await self.connect(service)
        assert client.transport is not None
        client.transport.pauseProducing()  # type: ignore[attr-defined]
        live_size = len(self.feed.document())
        for _ in range(400):
            client.transport.write(request("/book") * 50)
        reader = await self.connect(service)
        for _ in range(50):
            self.assertEqual((await reader.ask(request("/book"))).status, 200)
        answered = service._site.answered[200]
        self.assertLess(answered * live_size, 16 * 1024 * 1024)  # what the kernel takes, and 64 KiB; of 20,000 requests
        client.transport.abortConnection()  # type: ignore[attr-defined]
