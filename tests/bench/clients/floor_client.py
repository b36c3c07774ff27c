"""The floor: a socket, one loop over the frames, msgspec into types, a dict a side; nothing checked, in order or served."""

import os
import socket
from collections import defaultdict

import msgspec
from told import SEEN, WORK


class Update(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    row: tuple[float, float, float]
    seq: int


decode = msgspec.json.Decoder(Update).decode
host, port = WORK["ws_url"].split("/")[2].split(":")
peer = socket.create_connection((host, int(port)))
peer.sendall(
    b"GET /ws/2 HTTP/1.1\r\nHost: floor\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def say(event):
    payload = msgspec.json.encode(event)
    head = bytes((0x81, 0x80 | len(payload))) if len(payload) < 126 else b"\x81\xfe" + len(payload).to_bytes(2, "big")
    peer.sendall(head + bytes(4) + payload)


say({"event": "conf", "flags": 65536})
for symbol in WORK["symbols"]:
    say({"event": "subscribe", "channel": "book", "symbol": symbol, "prec": "P0", "freq": "F0", "len": str(WORK["levels"])})


def take_in(books, data):
    """Every whole frame; what is left of the last one."""
    at, size, updates = 0, len(data), 0
    while at + 4 <= size:
        length = data[at + 1]
        start = at + 2
        if length == 126:
            length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        end = start + length
        if end > size:
            break
        if length < 126 and data[start] != 123:
            update = decode(data[start:end])
            price, count, amount = update.row
            side = books[update.channel_id, amount > 0]
            if count:
                side[price] = (count, amount)
            else:
                side.pop(price, None)
            updates += 1
        at = end
    SEEN["updates"] += updates
    return data[at:]


data = peer.recv(65536)
data = data[data.index(b"\r\n\r\n") + 4 :]
books = defaultdict(dict)  # by channel and side
while True:
    data = take_in(books, data)
    more = peer.recv(65536)
    if not more:
        os._exit(0)
    data += more
