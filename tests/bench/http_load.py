"""Clients that ask for the book, in a process of their own: flat out, or so many times a second."""

import multiprocessing
import selectors
import socket
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple


class Answers(NamedTuple):
    """How many answers came, in how many seconds, how many were not 200 or not whole; p50 and p99 of the time, in ms."""

    answered: int
    seconds: float
    failed: int
    p50: float
    p99: float


class Load:
    """A context manager: while it lasts, `connections` ask. `answers` afterwards; RuntimeError if not all were good."""

    def __init__(self, port: int, connections: int, rate: float | None = None, *, alike: bool = True) -> None:
        """`rate`: requests a second, over all connections; None for as many as are answered. `alike`: byte for byte."""
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(
            target=_ask, args=(port, connections, rate, alike, theirs), daemon=True
        )
        self.answers: Answers

    def __enter__(self) -> "Load":
        self._process.start()
        return self

    def __exit__(self, exception: type[BaseException] | None, *_more: object) -> None:
        self._pipe.send("stop")
        self.answers = Answers(*self._pipe.recv())
        self._process.join()
        if exception is None and (self.answers.failed or not self.answers.answered):
            raise RuntimeError(f"{self.answers.failed} of {self.answers.answered} answers are not whole, or not 200")


class _Client:
    """One connection, made again where the server closes it after an answer."""

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self._port, self._selector = port, selector
        self.times: list[float] = []
        self.failed = 0
        self.idle = True
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port))
        self._selector.register(self.socket, selectors.EVENT_READ, self)
        self._got = b""

    def ask(self, request: bytes) -> None:
        self.idle = False
        self._at = time.perf_counter()
        self.socket.sendall(request)

    def read(self) -> bool:
        """Whether the answer is complete now."""
        data = self.socket.recv(1 << 20)
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end and data:
            return False
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]) if end else 0
        if len(body) < length and data:
            return False
        self.times.append(time.perf_counter() - self._at)
        self.failed += len(body) < length or not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
        self._got, self.idle = b"", True
        if not data or b"connection: close" in head.lower() or head.startswith(b"HTTP/1.0"):
            self._selector.unregister(self.socket)
            self.socket.close()
            self._connect()
        return True


def _ask(port: int, connections: int, rate: float | None, alike: bool, pipe: Connection) -> None:
    selector = selectors.DefaultSelector()
    request = b"GET /book HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Request-Id: %%d\r\n\r\n" % port
    clients: list[_Client] = []
    start = time.perf_counter()
    cut_off = 0
    try:
        clients += (_Client(port, selector) for _ in range(connections))
        asked = 0
        while not pipe.poll():
            due = connections if rate is None else int((time.perf_counter() - start) * rate) - asked
            for client in [one for one in clients if one.idle][: max(due, 0)]:
                client.ask(request % (0 if alike else asked))
                asked += 1
            events: list[Any] = selector.select(0.1 if rate is None else 0.002)
            for key, _mask in events:
                key.data.read()
    except OSError:  # the server is gone
        cut_off = 1
    pipe.recv()
    times = sorted(one for client in clients for one in client.times)
    failed = cut_off + sum(client.failed for client in clients)
    p50, p99 = (1e3 * times[int(share * (len(times) - 1))] if times else 0.0 for share in (0.5, 0.99))
    pipe.send((len(times), time.perf_counter() - start, failed, p50, p99))
