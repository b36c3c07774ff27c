"""One connection of the replay server: just enough of WebSocket and of Bitfinex's protocol for every client measured.

It shares no line with bfxtwist, so that a misreading there cannot be made up for here.
"""

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from tests.bench.script import Workload

SEQUENCE, CHECKSUMS, TIMESTAMPS = 65536, 131072, 32768
TEXT, PING, PONG = 0x81, 0x89, 0x8A

#: Frames in one sendall: some 200 KB.
PIECE = 4096


def read_head(peer: socket.socket) -> tuple[bytes, bytes]:
    """An HTTP request's head, and what came after it already; empty when the peer hangs up."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(65536)
        if not piece:
            return b"", b""
        data += piece
    head, _end, rest = data.partition(b"\r\n\r\n")
    return head, rest


def frame(first: int, payload: bytes) -> bytes:
    """An unmasked frame of up to 64 KB."""
    if len(payload) < 126:
        return bytes((first, len(payload))) + payload
    return bytes((first, 126)) + len(payload).to_bytes(2, "big") + payload


class Conversation:
    """One client on one WebSocket."""

    def __init__(self, peer: socket.socket, head: bytes, snapshots: dict[str, bytes], number: int) -> None:
        self.peer = peer
        self.channels: dict[str, int] = {}  # symbol -> channel id, of those whose snapshot was sent
        self.frames: list[bytes] = []
        self.checksums = 0  # among the frames
        self._pieces: list[bytes] = []
        self._sending = threading.Lock()  # an answer must not come to stand within a frame of the stream
        self.first_seq = 0
        self._snapshots, self._next_id = snapshots, 10_000 + 1000 * number
        self._flags = 0
        self._seq = 0
        self._buffer = b""
        self._pings: dict[bytes, float] = {}
        self._pongs: list[float] = []
        match = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        assert match is not None
        accept = base64.b64encode(hashlib.sha1(match[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        peer.sendall(upgrade + b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept)
        self._say({"event": "info", "version": 2, "serverId": "replay", "platform": {"status": 1}})

    def run(self, data: bytes) -> None:
        """Until the client hangs up; `data` is what it has sent already."""
        try:
            while data := data or self.peer.recv(65536):
                self._buffer, data = self._buffer + data, b""
                while (taken := self._take_frame()) is not None:
                    self._react(*taken)
        except OSError:
            return

    def _take_frame(self) -> tuple[int, bytes] | None:
        data = self._buffer
        if len(data) < 2:
            return None
        start, length = 2, data[1] & 0x7F
        if length == 126:
            start, length = 4, int.from_bytes(data[2:4], "big")
        end = start + 4 + length
        if len(data) < end:
            return None
        mask, masked = data[start : start + 4], data[start + 4 : end]
        self._buffer = data[end:]
        return data[0], bytes(octet ^ mask[at % 4] for at, octet in enumerate(masked))

    def _react(self, first: int, payload: bytes) -> None:
        if first == PING:
            self.send(frame(PONG, payload))
        elif first == PONG and payload in self._pings:
            self._pongs.append(time.monotonic() - self._pings.pop(payload))
        elif first == TEXT:
            self._answer(json.loads(payload))

    def _answer(self, request: dict[str, object]) -> None:
        if request["event"] == "conf":
            self._flags = int(str(request["flags"]))
            self._say({"event": "conf", "status": "OK", "flags": self._flags})
        elif request["event"] == "ping":
            self._say({"event": "pong", "ts": time.time_ns() // 1_000_000, "cid": request.get("cid")})
        elif request["event"] == "subscribe":
            symbol, channel_id = str(request["symbol"]), self._next_id
            self._next_id += 1
            echo = {key: str(value) if key == "len" else value for key, value in request.items()}
            self._say({**echo, "event": "subscribed", "chanId": channel_id, "pair": symbol[1:]})
            self.send(frame(TEXT, self._numbered(channel_id, self._snapshots[symbol])))
            self.channels[symbol] = channel_id

    def _say(self, event: dict[str, object]) -> None:
        self.send(frame(TEXT, json.dumps(event, separators=(",", ":")).encode()))

    def _numbered(self, channel_id: int, body: bytes) -> bytes:
        if not self._flags & SEQUENCE:
            return b"[%d,%b]" % (channel_id, body)
        self._seq += 1
        if not self._flags & TIMESTAMPS:
            return b"[%d,%b,%d]" % (channel_id, body, self._seq)
        return b"[%d,%b,%d,%d]" % (channel_id, body, self._seq, time.time_ns() // 1_000_000)

    def encode(self, bodies: Sequence[tuple[str, bytes]], skipped: int | None = None) -> None:
        """Make the frames of what is subscribed here, as the flags are now. No body has the `skipped`th number."""
        wants_checksums = bool(self._flags & CHECKSUMS)
        self.first_seq = self._seq + 1
        self.frames, self.checksums = [], 0
        for symbol, body in bodies:
            is_checksum = body.startswith(b'"cs"')
            if symbol not in self.channels or (is_checksum and not wants_checksums):
                continue
            self._seq += len(self.frames) == skipped
            self.frames.append(frame(TEXT, self._numbered(self.channels[symbol], body)))
            self.checksums += is_checksum
        self._pieces = [b"".join(self.frames[at : at + PIECE]) for at in range(0, len(self.frames), PIECE)]

    def send(self, frames: bytes) -> None:
        """Send whole frames."""
        with self._sending:
            self.peer.sendall(frames)

    def send_pieces(self) -> None:
        """Send the stream, for as long as the client is there."""
        with suppress(OSError):
            for piece in self._pieces:
                self.send(piece)

    def ping(self) -> bytes:
        """A ping frame whose pong will be timed."""
        payload = b"%d" % time.monotonic_ns()
        self._pings[payload] = time.monotonic()
        return frame(PING, payload)

    @property
    def unanswered(self) -> int:
        """How many pings have no pong."""
        return len(self._pings)

    def take_pongs(self) -> list[float]:
        """How long each pong took since the last call, in seconds."""
        taken, self._pongs = self._pongs, []
        return taken


def answer_http(head: bytes, workload: Workload, told: Sequence[tuple[str, bytes]]) -> bytes:
    """What the REST interface says: lists of pairs, and past trades."""
    url = urlsplit(head.split(b" ", 2)[1].decode())
    if "/trades/" in url.path:
        body = _past_trades(parse_qs(url.query), told)
    elif "/status" in url.path:
        body = b"[1]"
    else:
        lists = {"currency": [["BTC", "USD"]], "exchange": [[symbol[1:] for symbol in workload.symbols]]}
        body = json.dumps(next((lists[key] for key in lists if url.path.endswith(key)), [[]])).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def _past_trades(query: dict[str, list[str]], told: Sequence[tuple[str, bytes]]) -> bytes:
    """Of the trades that the stream tells (all of one pair), those of an interval."""
    start, end = (int(query.get(key, [str(default)])[0]) for key, default in (("start", 0), ("end", 1 << 60)))
    most, oldest_first = int(query.get("limit", ["125"])[0]), query.get("sort") == ["1"]
    rows = (body[5:] for _symbol, body in told if body.startswith(b'"te"'))
    chosen = [row for row in rows if start <= int(row.split(b",")[1]) <= end]
    chosen = chosen[:most] if oldest_first else chosen[::-1][:most]
    return b"[%b]" % b",".join(chosen)
