"""The server's part of a WebSocket handshake, in a few lines (RFC 6455, 4.2.2)."""

from base64 import b64encode
from hashlib import sha1

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(request: bytes) -> bytes:
    """The answer that opens the connection."""
    (key,) = [line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
    proof = b64encode(sha1(key + _MAGIC).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    return head + proof + b"\r\n\r\n"
