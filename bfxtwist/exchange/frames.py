"""What is done to frames when a fault is on: which are lost, doubled or falsified, and frames that mean nothing."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from bfxtwist.core.messages import Row
from bfxtwist.core.wire import encode_event, encode_frame
from bfxtwist.exchange.faults import Faults
from bfxtwist.exchange.server import text_frame
from bfxtwist.exchange.venue import Item, Kind, checksum, update


class Spoiler:
    """Does to one connection's items what the faults say."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._stuck: dict[int, bytes] = {}  # by channel, the level of which no more is told, so that it stays wrong

    def spoil(self, channel_id: int, items: Sequence[Item]) -> list[Item]:
        """The items that are sent instead of these."""
        return [spoilt for item in items for spoilt in self._spoil(channel_id, item)]

    def _spoil(self, channel_id: int, item: Item) -> Iterable[Item]:
        match item.kind:
            case Kind.UPDATE:
                return self._update(channel_id, item)
            case Kind.CHECKSUM:
                return self._checksum(item)
            case Kind.EXECUTED:
                return [] if self._faults.befalls("te-missing") else [item] * (1 + self._faults.befalls("te-twice"))
            case Kind.CONFIRMED:
                return [] if self._faults.befalls("tu-missing") else [item]
            case Kind.SNAPSHOT:
                self._stuck.pop(channel_id, None)
        return [item]

    def _update(self, channel_id: int, item: Item) -> Iterator[Item]:
        row: Row = tuple(item.body[1:-1].split(b","))
        if self._stuck.get(channel_id) == row[0] or self._faults.take("lose-update") is not None:
            return
        gone = float(row[1]) == 0
        if not gone and self._faults.take("corrupt-level") is not None:
            self._stuck[channel_id] = row[0]
            yield update((row[0], row[1], b"-9.87654321" if row[2].startswith(b"-") else b"9.87654321"))
            return
        yield item
        if not gone and row[2].startswith(b"-") and self._faults.take("crossed") is not None:
            # The bid is another order.
            yield update((b"%d" % (int(row[0]) + 1) if _is_raw(row) else row[0], row[1], b"0.5"))
        if self._faults.take("ghost-delete") is not None:
            yield update((b"123456789" if _is_raw(row) else b"123456.789", b"0", b"1"))

    def _checksum(self, item: Item) -> list[Item]:
        if "no-cs" in self._faults:
            return []
        once = self._faults.take("wrong-cs") is not None
        if once or "always-wrong-cs" in self._faults:
            return [checksum(int(item.body.rpartition(b",")[2]) ^ 0x5A5A)]
        return [item]


def _is_raw(row: Row) -> bool:
    """Whether the row is of a raw book: an order's id is longer than any price, and has no exponent."""
    return row[0].isdigit() and int(row[0]) > 10**10


def junk(kind: str, channel_id: int, number: int | None) -> bytes:
    """A WebSocket frame that means nothing; `number` is its sequence number, of those that would have one."""
    if kind == "binary":
        return b"\x82\x04\x00\xff\x5b\x5d"
    return text_frame(_JUNK[kind](channel_id, number))


#: Of these the sequence numbers count, although they mean nothing.
NUMBERED = ("unknown-channel", "unknown-kind", "empty-row")

_JUNK: dict[str, Callable[[int, int | None], bytes]] = {
    "malformed": lambda channel, _: b"[%d,[6443.5,2" % channel,
    "nan": lambda channel, _: b"[%d,[NaN,1,Infinity]]" % channel,
    "huge-number": lambda channel, _: b"[%d,[1e400,1,%b]]" % (channel, b"9" * 5000),
    "deep": lambda channel, _: b"[" * 100_000,
    "surrogate": lambda channel, _: b'{"event":"info","code":20000,"msg":"\\ud800"}',
    "unknown-channel": lambda channel, number: encode_frame(channel + 1_000_000, b"[1,2,3]", seq=number),
    "unknown-event": lambda channel, _: encode_event({"event": "celebration"}),
    "unknown-kind": lambda channel, number: encode_frame(channel, b'"zz",[1,2,3]', seq=number),
    "scalar": lambda channel, _: b"42",
    "empty-row": lambda channel, number: encode_frame(channel, b"[[]]", seq=number),
    "huge": lambda channel, _: b'{"event":"info","msg":"%b"}' % (b"x" * (2 << 20)),
}
