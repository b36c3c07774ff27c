"""Streams of WebSocket frames, as a server sends them and as it never would: every kind, whole and broken."""

import struct
import zlib

from hypothesis import strategies as st

CONTINUED, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
FIN, MASKED = 0x80, 0x80


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes = b"") -> bytes:
    """One frame, correct or not, of minimal length encoding."""
    first = (FIN if fin else 0) | reserved << 4 | opcode
    masked = MASKED if mask else 0
    if len(payload) < 126:
        head = bytes([first, masked | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, masked | 126]) + struct.pack("!H", len(payload))
    else:
        head = bytes([first, masked | 127]) + struct.pack("!Q", len(payload))
    return head + mask + bytes(octet ^ mask[at % 4] if mask else octet for at, octet in enumerate(payload))


def deflated(payload: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def fragmented(parts: list[bytes], between: list[bytes]) -> bytes:
    """A text message in fragments, with other frames (allowed there or not) before the last one."""
    first, *rest = parts
    frames = [frame(TEXT, first, fin=False)] + [frame(CONTINUED, part, fin=False) for part in rest[:-1]]
    return b"".join([*frames, *between, frame(CONTINUED, rest[-1])])


# --- strategies -----------------------------------------------------------------------------------------------

update = st.tuples(st.integers(0, 9999), st.integers(0, 9), st.integers(1, 10**12)).map(
    lambda numbers: b"[17082,[%d.5,%d,0.25],%d]" % numbers
)
short_text = update | st.text(max_size=20).map(str.encode) | st.just(b"")
plain = short_text.map(lambda text: frame(TEXT, text))
run = st.lists(update.map(lambda text: frame(TEXT, text)), min_size=2, max_size=12).map(b"".join)
control = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=10))
close = st.builds(
    lambda code, reason: frame(CLOSE, struct.pack("!H", code) + reason),
    st.sampled_from([1000, 1001, 1006, 1012, 3000, 999, 5000]),
    st.sampled_from([b"", b"bye", b"\xff"]),
)
long_text = st.sampled_from([124, 125, 126, 127, 300, 65536]).map(lambda size: frame(TEXT, b"x" * size))
in_parts = st.builds(
    fragmented,
    st.lists(st.sampled_from([b"", b"a", b"\xc3", b"\xa9", b"[1,2]", b"y" * 60]), min_size=2, max_size=4),
    st.lists(control | plain, max_size=2),
)
odd = st.builds(
    frame,
    st.sampled_from([*range(16), TEXT, TEXT]),
    st.sampled_from([b"", b"a", b"[1,2,3]", b"\x81\x01a", b"\xff", b"z" * 125]),
    fin=st.booleans(),
    reserved=st.sampled_from([0, 0, 0, 4, 1, 2, 7]),
    mask=st.sampled_from([b"", b"", b"mask"]),
)
packed = update.map(lambda text: frame(TEXT, deflated(text), reserved=4))
#: No UTF-8, and what looks like the beginning of a frame within one.
broken_text = st.sampled_from([b"\xff", b"\xc3", b"[1\x81\x01x]", b"\x81\x02ab"]).map(lambda text: frame(TEXT, text))
not_minimal = st.just(bytes([FIN | TEXT, 126, 0, 2]) + b"ab")
noise = st.binary(max_size=6)
anything = st.one_of(plain, run, run, control, in_parts, long_text, odd, packed, broken_text, close, not_minimal, noise)
stream = st.lists(anything, min_size=1, max_size=8).map(b"".join)
cuts = st.lists(st.integers(0, 10**6), max_size=8)
