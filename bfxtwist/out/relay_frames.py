"""Frames that many sockets send, made once: what differs from socket to socket is put in when they are sent.

A frame is `[chanId,BODY]`, and with flags `[chanId,BODY,seq]`, `[chanId,BODY,ts]` or `[chanId,BODY,seq,ts]`. All readers of
a subscription are given the same channel id, so only the sequence number is a reader's own.
"""

from collections.abc import Callable, Sequence

from bfxtwist.core.messages import ConfFlags
from bfxtwist.exchange.conversation import in_bulk
from bfxtwist.exchange.server import text_frame
from bfxtwist.exchange.venue import Item, Kind

#: The flags that make frames different from one another.
_FORMS = ConfFlags.TIMESTAMP | ConfFlags.OB_CHECKSUM | ConfFlags.BULK_UPDATES


class Form:
    """The frames of one batch for everybody with the same flags, but for the sequence numbers."""

    def __init__(self, channel_id: int, items: Sequence[Item], flags: ConfFlags, timestamp: int) -> None:
        if ConfFlags.OB_CHECKSUM not in flags:
            items = [item for item in items if item.kind is not Kind.CHECKSUM]
        if ConfFlags.BULK_UPDATES in flags:
            items = in_bulk(items)
        self._heads = [b"[%d,%b" % (channel_id, item.body) for item in items]
        self._tail = b",%d]" % timestamp if ConfFlags.TIMESTAMP in flags else b"]"
        self._unnumbered: bytes | None = None

    def __len__(self) -> int:
        return len(self._heads)

    def unnumbered(self) -> bytes:
        """The frames, as WebSocket frames in a row."""
        if self._unnumbered is None:
            self._unnumbered = b"".join([text_frame(head + self._tail) for head in self._heads])
        return self._unnumbered

    def numbered(self, sequence: int) -> bytes:
        """As `unnumbered`, the first one with `sequence`."""
        tail = self._tail
        return b"".join([text_frame(b"%b,%d%b" % (head, seq, tail)) for seq, head in enumerate(self._heads, sequence)])


class Forms:
    """The forms of the batch that each channel sends just now. `now()` is in ms since the epoch."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._made: dict[int, tuple[Sequence[Item], int, dict[ConfFlags, Form]]] = {}  # by channel id

    def get(self, channel_id: int, items: Sequence[Item], flags: ConfFlags) -> Form:
        """The form of `items` for `flags`. The same object for the same items, not merely equal ones."""
        batch = self._made.get(channel_id)
        if batch is None or batch[0] is not items:
            batch = self._made[channel_id] = items, self._now(), {}
        _, timestamp, forms = batch
        flags &= _FORMS
        form = forms.get(flags)
        if form is None:
            form = forms[flags] = Form(channel_id, items, flags, timestamp)
        return form
