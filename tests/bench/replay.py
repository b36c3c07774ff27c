"""The replay server: an exchange in a process of its own that has encoded everything before it begins to send.

    orchestrator                 server                                   client under test
    Replay(workload)  ────────►  listens                        ◄──────── connects, conf, subscribes
    wait_ready()      ◄────────  everything is subscribed, its stream encoded for the flags asked for
    stream()          ────────►  sendall of great pieces        ────────► …
    pace(rate, burst) ────────►  frames at their time; answers with when each was sent

One thread a connection. What a client has to have beside the socket (lists of pairs, past trades) is answered on the same
port over HTTP.
"""

import multiprocessing
import socket
import threading
import time
from itertools import count
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from tests.bench.exchange_side import Conversation, answer_http, read_head
from tests.bench.script import Script, Workload, script

#: A client that has subscribed everything may still have a `conf` to send (ccxt does).
SETTLE = 1.0

#: How long what was sent at a pace may take to be read after its end, in seconds: a machine may be slow.
PATIENCE = 30.0


class Sent(NamedTuple):
    """What was streamed: `messages`, and how many of them were checksums."""

    messages: int
    checksums: int


class Replay:
    """The server as the orchestrator sees it. A context manager; `port` is where it listens."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=_serve, args=(workload, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.port: int = self._answer(60)

    def __enter__(self) -> "Replay":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.join()

    def wait_ready(self, seconds: float) -> None:
        """Until everything is subscribed and encoded. Raises TimeoutError."""
        self._pipe.send(("ready", seconds))
        if not self._answer(seconds + 60):
            raise TimeoutError(f"not everything was subscribed within {seconds:g} s")

    def stream(self) -> Sent:
        """Send everything as fast as the client takes it."""
        self._pipe.send(("stream",))
        return Sent(*self._answer(600))

    def pace(self, rate: float, burst: int, count: int, ping_every: int = 0) -> dict[str, Any]:
        """Send `count` messages, `burst` at a time, `rate` a second, on the first connection.

        `sent`: by sequence number, when (s, monotonic); checksums are left out. `pongs`: how long each ping took that went
        out with every `ping_every`th piece, and behind the last one; `unanswered`: how many pings had none in `PATIENCE`.
        """
        self._pipe.send(("pace", rate, burst, count, ping_every))
        answer: dict[str, Any] = self._answer(count / rate + 60)
        return answer

    def _answer(self, seconds: float) -> Any:
        if not self._pipe.poll(seconds):
            raise TimeoutError("the replay server does not answer")
        return self._pipe.recv()


def _serve(workload: Workload, pipe: Connection) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    exchange = _Exchange(script(workload), workload)
    threading.Thread(target=exchange.accept, args=(listening,), daemon=True).start()
    pipe.send(listening.getsockname()[1])
    while True:
        what, *arguments = pipe.recv()
        pipe.send(getattr(exchange, what)(*arguments))


class _Exchange:
    """All connections of one run."""

    def __init__(self, script: Script, workload: Workload) -> None:
        self._script, self._workload = script, workload
        self._conversations: list[Conversation] = []
        self._numbers = count()  # no two connections have channels of the same id, which some clients could not bear
        self._position = 0  # of the paced messages
        self._trades_told = len(script.bodies) if workload.channel == "trades" else 0

    def accept(self, listening: socket.socket) -> None:
        while True:
            peer, _address = listening.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        head, rest = read_head(peer)
        if b"upgrade: websocket" in head.lower():
            conversation = Conversation(peer, head, self._script.snapshots, next(self._numbers))
            self._conversations.append(conversation)
            conversation.run(rest)
        elif head:
            peer.sendall(answer_http(head, self._workload, self._script.bodies[: self._trades_told]))
            peer.close()

    def ready(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if set(self._script.snapshots) <= {symbol for one in self._conversations for symbol in one.channels}:
                time.sleep(SETTLE)
                skipped = len(self._script.bodies) // 2 if self._workload.fault == "sequence" else None
                for conversation in self._conversations:
                    conversation.encode(self._script.bodies, skipped)
                return True
            time.sleep(0.02)
        return False

    def stream(self) -> tuple[int, int]:
        senders = [threading.Thread(target=one.send_pieces) for one in self._conversations]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        return sum(len(one.frames) for one in self._conversations), sum(one.checksums for one in self._conversations)

    def pace(self, rate: float, burst: int, most: int, ping_every: int) -> dict[str, Any]:
        conversation = next(one for one in self._conversations if one.channels)
        frames, first = conversation.frames, conversation.first_seq
        sent: dict[int, float] = {}
        start = time.perf_counter()
        pieces = range(self._position, min(self._position + most, len(frames)), burst)
        for number, at in enumerate(pieces):
            due = start + number * burst / rate
            while (wait := due - time.perf_counter()) > 0:
                time.sleep(max(wait - 0.0002, 0))  # the last stretch is spun, or the scheduler's grain would be the jitter
            ping = conversation.ping() if ping_every and number % ping_every == 0 else b""
            now = time.monotonic()
            conversation.send(b"".join(frames[at : at + burst]) + ping)
            # A checksum changes no book: when it arrives does not show.
            burst_of = enumerate(frames[at : at + burst], first + at)
            sent.update((seq, now) for seq, frame in burst_of if b'"cs"' not in frame)
        self._position += len(pieces) * burst
        conversation.send(conversation.ping())  # when it is answered, all before it has been read
        end = time.monotonic() + PATIENCE
        while conversation.unanswered and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.5)
        return {"sent": sent, "pongs": conversation.take_pongs(), "unanswered": conversation.unanswered}
