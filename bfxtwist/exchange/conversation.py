"""One connection's side of the server: what a client asks, and what it is answered. No I/O and no clock.

    <- {"event":"info","version":2,"serverId":"…","platform":{"status":1}}
    -> {"event":"conf","flags":196608}                  <- {"event":"conf","status":"OK","flags":196608}
    -> {"event":"subscribe","channel":"book",…}         <- {"event":"subscribed","channel":"book","chanId":42,…}
                                                        <- [42,[[…],…],1]       and from here on what happens
    -> {"event":"unsubscribe","chanId":42}              <- {"event":"unsubscribed","status":"OK","chanId":42}
    -> {"event":"ping","cid":7}                         <- {"event":"pong","ts":1511545528111,"cid":7}
    -> what is no JSON                                  (no answer)

Errors echo the fields of the request. Shapes: docs ws-general and ws-public, and for the errors what the live exchange
answered in 2026, which differs from its documents (an unknown channel is 10300, not 10302).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bfxtwist.core.errors import MalformedMessage
from bfxtwist.core.messages import (
    ChannelName,
    Code,
    Conf,
    ConfFlags,
    Ping,
    Subscribe,
    UnknownRequest,
    Unsubscribe,
)
from bfxtwist.core.subscription import FREQUENCIES, LENGTHS, PRECISIONS, Subscription
from bfxtwist.core.wire import decode_request, encode_event, encode_frame
from bfxtwist.exchange.venue import HEARTBEAT, Item, Kind, Limits, Venue

#: The text of info events. Of 20060 and 20061 the exact words are not known; clients must go by the code.
NOTICES = {
    Code.RESTART: "Stopping. Please try to reconnect",
    Code.MAINTENANCE_START: "Entering maintenance mode. Please pause any activity",
    Code.MAINTENANCE_END: "Maintenance ended. Please unsubscribe and subscribe again",
}


class Outlet(Protocol):
    """The socket, as a conversation sees it."""

    @property
    def choked(self) -> bool:
        """Whether what was sent is still waiting."""

    def send(self, texts: Sequence[bytes]) -> None:
        """Text frames, in one write."""


@dataclass(slots=True)
class Channel:
    """A subscription of one connection."""

    id: int
    subscription: Subscription
    request: Mapping[str, Any]  # what the client sent beside event, channel and symbol
    open: bool = False


class Refusal(Exception):
    """A request that gets an error event."""

    def __init__(self, code: int, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.fields = code, message, fields


class Conversation:
    """What is said on one connection. `new_channel_id()` gives numbers; `now()` is in ms since the epoch."""

    def __init__(
        self, venue: Venue, outlet: Outlet, *, new_channel_id: Callable[[], int], now: Callable[[], int], limits: Limits
    ) -> None:
        self._venue = venue
        self._outlet = outlet
        self._new_channel_id = new_channel_id
        self._now = now
        self.limits = limits
        self.flags = ConfFlags(0)
        self.sequence = 0
        self.channels: dict[Subscription, Channel] = {}
        self._sequenced = self._timestamped = self._checksums = self._bulk = False

    # --- what happens to the connection ---------------------------------------------------------------------

    def begin(self, server_id: str, operative: bool = True) -> None:
        """The connection is open: greet."""
        self._say({"event": "info", "version": 2, "serverId": server_id, "platform": {"status": int(operative)}})

    def received(self, payload: bytes) -> None:
        """A text frame from the client."""
        try:
            request = decode_request(payload)
        except MalformedMessage:
            return  # as the exchange does
        match request:
            case Conf(flags):
                self._configure(flags)
            case Subscribe():
                self._subscribe(request)
            case Unsubscribe(channel_id):
                self._unsubscribe(channel_id)
            case Ping(cid):
                self._pong(cid)
            case UnknownRequest(name, fields):
                self._say({**fields, "event": "error", "msg": f"event: invalid ({name})", "code": int(Code.UNKNOWN_EVENT)})

    def beat(self) -> None:
        """The global heartbeat: on every channel, busy or quiet."""
        self._send_frames([(channel, HEARTBEAT) for channel in self._beating()])

    def announce(self, code: Code) -> None:
        """An info event that tells of a restart or of maintenance."""
        self._say({"event": "info", "code": int(code), "msg": NOTICES[code]})

    def end(self) -> None:
        """The connection is gone."""
        for channel in self.channels.values():
            if channel.open:
                self._venue.close(channel.subscription, self)
        self.channels.clear()

    # --- what happens at the venue --------------------------------------------------------------------------

    @property
    def choked(self) -> bool:
        """Whether the client does not take what it is sent."""
        return self._outlet.choked

    def publish(self, subscription: Subscription, items: Sequence[Item]) -> None:
        """What happened on a subscription."""
        channel = self.channels.get(subscription)
        if channel is not None:
            self._deliver(channel, items)

    # --- requests -------------------------------------------------------------------------------------------

    def _configure(self, flags: int) -> None:
        """Each conf replaces the whole set (bitfinex-api-node #521). Numbers begin at 1 with the first frame after it."""
        if not 0 <= flags < 1 << 32:
            failed = {"code": int(Code.CONF_FAILED), "msg": "conf: invalid"}
            self._say({"event": "conf", "status": "FAILED", "flags": flags, **failed})
            return
        self._say({"event": "conf", "status": "OK", "flags": flags})
        if not self._sequenced:
            self.sequence = 0
        self.flags = ConfFlags(flags)
        self._sequenced = ConfFlags.SEQ_ALL in self.flags
        self._timestamped = ConfFlags.TIMESTAMP in self.flags
        self._checksums = ConfFlags.OB_CHECKSUM in self.flags
        self._bulk = ConfFlags.BULK_UPDATES in self.flags

    def _subscribe(self, request: Subscribe) -> None:
        try:
            channel = self._admit(request)
        except Refusal as refusal:
            self._refuse(request, refusal)
        else:
            self.channels[channel.subscription] = channel
            self._grant(channel)

    def _admit(self, request: Subscribe) -> Channel:
        """The channel asked for. Raises Refusal."""
        subscription = read_subscription(request)
        reason = self._venue.refuses(subscription)
        if reason is not None:
            raise Refusal(Code.SUBSCRIBE_FAILED, reason)
        known = self.channels.get(subscription)
        if known is not None:
            raise Refusal(Code.ALREADY_SUBSCRIBED, "subscribe: dup", chanId=known.id)
        if len(self.channels) >= self.limits.channels:
            raise Refusal(Code.CHANNEL_LIMIT, "subscribe: limit")
        return Channel(self._new_channel_id(), subscription, request.parameters)

    def _grant(self, channel: Channel) -> None:
        """Acknowledge, then the snapshot, then whatever happens."""
        if self.channels.get(channel.subscription) is channel:
            self._say(acknowledgement(channel))
            channel.open = True
            self._deliver(channel, [self._venue.open(channel.subscription, self)])

    def _refuse(self, request: Subscribe, refusal: Refusal) -> None:
        """What was asked comes back; who named no channel or no symbol is not told of one."""
        symbol = _with_t(request.symbol) if request.symbol else ""
        named = {name: text for name, text in (("channel", request.channel), ("symbol", symbol)) if text}
        pair = {"pair": symbol[1:]} if symbol else {}
        error = {"event": "error", "msg": refusal.message, "code": int(refusal.code)}
        self._say({**named, **request.parameters} | error | refusal.fields | pair)

    def _unsubscribe(self, channel_id: int) -> None:
        channel = next((c for c in self.channels.values() if c.id == channel_id), None)
        if channel is None:
            code = int(Code.UNSUBSCRIBE_FAILED)
            self._say({"chanId": channel_id, "event": "error", "msg": "unsubscribe: invalid", "code": code})
        else:
            self._close(channel)

    def _close(self, channel: Channel) -> None:
        if self.channels.pop(channel.subscription, None) is None:
            return
        if channel.open:
            self._venue.close(channel.subscription, self)
        self._say({"event": "unsubscribed", "status": "OK", "chanId": channel.id})

    def _pong(self, cid: Any) -> None:
        # What a ping without a cid is answered is not known; this much every client understands.
        self._say({"event": "pong", "ts": self._now()} | ({} if cid is None else {"cid": cid}))

    # --- out ------------------------------------------------------------------------------------------------

    def _beating(self) -> Iterable[Channel]:
        return [channel for channel in self.channels.values() if channel.open]

    def _deliver(self, channel: Channel, items: Sequence[Item]) -> None:
        wanted = items if self._checksums else [item for item in items if item.kind is not Kind.CHECKSUM]
        if self._bulk:
            wanted = in_bulk(wanted)
        self._send_frames([(channel, item) for item in wanted])

    def _send_frames(self, frames: Sequence[tuple[Channel, Item]]) -> None:
        timestamp = self._now() if self._timestamped else None
        self._send([self._frame(channel.id, item, timestamp) for channel, item in frames])

    def _frame(self, channel_id: int, item: Item, timestamp: int | None) -> bytes:
        return encode_frame(channel_id, item.body, seq=self._next_number(), timestamp=timestamp)

    def _next_number(self) -> int | None:
        """One counter for the socket, over the array frames of all channels."""
        if not self._sequenced:
            return None
        self.sequence += 1
        return self.sequence

    def _say(self, event: Mapping[str, Any]) -> None:
        self._send([encode_event(event)])

    def _send(self, texts: Sequence[bytes]) -> None:
        if texts:
            self._outlet.send(texts)


def read_subscription(request: Subscribe) -> Subscription:
    """What is asked for. Raises Refusal, with the field that is at fault."""
    if request.channel not in (ChannelName.BOOK, ChannelName.TRADES):
        raise Refusal(Code.SUBSCRIBE_FAILED, "channel: unknown")
    symbol = _with_t(request.symbol)
    if request.channel == ChannelName.TRADES:
        return Subscription(ChannelName.TRADES, symbol)
    precision, frequency, length = (
        str(request.parameters.get(key, default)) for key, default in (("prec", "P0"), ("freq", "F0"), ("len", "25"))
    )
    for name, value, known in (
        ("precision", precision, PRECISIONS),
        ("frequency", frequency, FREQUENCIES),
        ("length", length, LENGTHS),
    ):
        if value not in known:
            raise Refusal(Code.SUBSCRIBE_FAILED, f"{name}: invalid")
    return Subscription(ChannelName.BOOK, symbol, precision, frequency, int(length))


def acknowledgement(channel: Channel) -> dict[str, Any]:
    """The `subscribed` event: `len` as a text even if it was asked as a number, `subId` only if it was asked."""
    subscription = channel.subscription
    sub_id = {"subId": channel.request["subId"]} if "subId" in channel.request else {}
    head = {"event": "subscribed", "channel": subscription.channel.value, "chanId": channel.id}
    return {**head, "symbol": subscription.symbol, **subscription.parameters, **sub_id, "pair": subscription.symbol[1:]}


def in_bulk(items: Sequence[Item]) -> list[Item]:
    """With BULK_UPDATES, neighbouring updates share a frame: `[[…],[…]]`, the shape of a snapshot."""
    merged: list[Item] = []
    rows: list[bytes] = []
    for item in items:
        if item.kind is Kind.UPDATE:
            rows.append(item.body)
            continue
        if rows:
            merged.append(Item(Kind.UPDATE, b"[%b]" % b",".join(rows)))
            rows = []
        merged.append(item)
    return [*merged, Item(Kind.UPDATE, b"[%b]" % b",".join(rows))] if rows else merged


def _with_t(symbol: str) -> str:
    """`BTCUSD` is taken for `tBTCUSD`, and acknowledged as that."""
    return symbol if symbol.startswith(("t", "f")) else f"t{symbol}"
