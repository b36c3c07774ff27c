"""A conversation in which things go wrong as the faults say. The honest one (`conversation.py`) knows nothing of this."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from bfxtwist.core.messages import ChannelName, Code, Subscribe
from bfxtwist.exchange.conversation import Channel, Conversation, Refusal, acknowledgement
from bfxtwist.exchange.faults import Faults, Value
from bfxtwist.exchange.frames import NUMBERED, Spoiler, junk
from bfxtwist.exchange.server import ServerFactory, ServerProtocol, text_frame
from bfxtwist.exchange.venue import HEARTBEAT, Item, Kind, Venue

#: What refusals say, where a document or a live answer tells; of 10001, 10302 and 11000 the wording is not known.
_REFUSALS = {
    "10001": "Unknown pair",
    "10300": "symbol: invalid",
    "10302": "channel: unknown",
    "10305": "subscribe: limit",
    "11000": "Not ready, try again later",
}

#: How soon trades are acknowledged when books are late (0.12 to 0.22 s in 2021).
_TRADES_ACK = 0.2


class FaultyConversation(Conversation):
    """A conversation with faults. `granted()` is called when a channel has begun, for what waited for that."""

    def __init__(
        self,
        venue: Venue,
        outlet: ServerProtocol,
        *,
        faults: Faults,
        clock: IReactorTime,
        granted: Callable[[], None],
        **honest: Any,
    ) -> None:
        super().__init__(venue, outlet, **honest)
        self.socket = outlet
        self._faults = faults
        self._clock = clock
        self._granted = granted
        self._spoiler = Spoiler(faults)
        self._mute = "silence" in faults
        self._honest_limits = self.limits
        self._later: set[IDelayedCall] = set()
        self._frames_sent = 0

    # --- what happens to the connection ---------------------------------------------------------------------

    def begin(self, server_id: str, operative: bool = True) -> None:
        """Greet, if at all."""
        if "stop-reading" in self._faults:
            self.socket.transport.pauseProducing()
        operative = self._faults.number("platform-status", 1) == 1
        version = int(self._faults.number("version", 2))
        self._say({"event": "info", "version": version, "serverId": server_id, "platform": {"status": int(operative)}})

    def received(self, payload: bytes) -> None:
        """Hear, if at all."""
        if not self._mute:
            super().received(payload)

    def end(self) -> None:
        """Nothing that was to come later will."""
        for call in self._later:
            call.cancel()
        self._later.clear()
        super().end()

    def strike(self, name: str, value: Value) -> None:
        """One of the faults of `Strikes`, now."""
        match name:
            case "restart":
                self.announce(Code.RESTART)
            case "maintenance-start":
                self.announce(Code.MAINTENANCE_START)
            case "maintenance-end":
                self.announce(Code.MAINTENANCE_END)
            case "junk":
                self.socket.send_raw(self._junk(str(value)))
            case "drop":
                self._cut(str(value))

    def _cut(self, how: str) -> None:
        socket = self.socket
        if how == "rst":
            socket.drop()
        elif how == "close":
            socket.sendCloseFrame(code=1001, reasonUtf8=b"proxy restarting", isReply=False)  # sendClose allows no 1001
        else:
            if how == "mid-frame":
                socket.send_raw(text_frame(b'[1,[6443.5,2,-0.4],17,1542045947738]')[:20])
            socket.transport.loseConnection()

    def _junk(self, kind: str) -> bytes:
        channel = next(iter(self.channels.values()), None)
        return junk(kind, channel.id if channel else 1, self._next_number() if kind in NUMBERED else None)

    def _after(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        def now() -> None:
            self._later.discard(delayed)
            call(*arguments)

        delayed = self._clock.callLater(seconds, now)
        self._later.add(delayed)

    # --- requests -------------------------------------------------------------------------------------------

    def _configure(self, flags: int) -> None:
        if "refuse-conf" in self._faults:
            self._say({"event": "error", "msg": "conf: invalid", "code": int(Code.CONF_FAILED), "flags": flags})
        elif "no-conf" not in self._faults:
            super()._configure(flags)

    def _admit(self, request: Subscribe) -> Channel:
        code = self._faults.word("refuse")
        if code is not None:
            raise Refusal(int(code), _REFUSALS[code])
        most = int(self._faults.number("channel-limit", self._honest_limits.channels))
        self.limits = self._honest_limits._replace(channels=most)
        return super()._admit(request)

    def _grant(self, channel: Channel) -> None:
        if "no-ack" in self._faults:
            return
        if "hb-before-ack" in self._faults:
            self._send_frames([(channel, HEARTBEAT)])
        delay = self._acknowledged_after(channel)
        if delay:
            self._after(delay, self._grant_now, channel)
        else:
            self._grant_now(channel)

    def _grant_now(self, channel: Channel) -> None:
        if self._faults.take("ack-twice") is not None:
            self._say(acknowledgement(channel))
        if self._faults.take("wrong-ack") is not None:
            self._say({**acknowledgement(channel), "symbol": "tWRONG:USD", "pair": "WRONG:USD"})
            return
        super()._grant(channel)
        self._granted()

    def _acknowledged_after(self, channel: Channel) -> float:
        faults = self._faults
        delay = faults.number("hb-before-ack") + faults.within("shuffled-acks")
        if channel.subscription.channel is ChannelName.TRADES:
            return delay + min(_TRADES_ACK, faults.number("late-ack"))
        return delay + faults.number("late-ack")

    def _close(self, channel: Channel) -> None:
        if "no-unsubscribed" in self._faults:
            return
        if "late-unsubscribed" in self._faults:
            self._after(self._faults.number("late-unsubscribed"), self._close_at_last, channel)
        else:
            super()._close(channel)

    def _close_at_last(self, channel: Channel) -> None:
        super()._close(channel)
        self._send_frames([(channel, HEARTBEAT)])

    def _pong(self, cid: Any) -> None:
        if "no-pong" not in self._faults:
            super()._pong(cid)

    # --- out ------------------------------------------------------------------------------------------------

    def _beating(self) -> Iterable[Channel]:
        early = "hb-before-ack" in self._faults or "no-ack" in self._faults
        return [c for c in self.channels.values() if (c.open or early) and not self._silent(c)]

    def _silent(self, channel: Channel) -> bool:
        return channel.subscription.channel == self._faults.word("stall-channel")

    def _deliver(self, channel: Channel, items: Sequence[Item]) -> None:
        if "stall" in self._faults or self._silent(channel):
            return
        sent = []
        for item in self._spoiler.spoil(channel.id, items):
            delay = self._held_back(item)
            if delay:
                self._after(delay, super()._deliver, channel, [item])
            else:
                sent.append(item)
        super()._deliver(channel, sent)

    def _held_back(self, item: Item) -> float:
        if item.kind is not Kind.CONFIRMED:
            return 0.0
        return self._faults.number("tu-late") + self._faults.within("tu-out-of-order")

    def _frame(self, channel_id: int, item: Item, timestamp: int | None) -> bytes:
        frame = super()._frame(channel_id, item, timestamp)
        if "extra-fields" in self._faults and self._sequenced and timestamp is not None:
            return frame[:-1] + b',"extra",null]'
        return frame

    def _next_number(self) -> int | None:
        if self._sequenced:
            if self._faults.take("skip-seq") is not None:
                self.sequence += 1
            if self._faults.take("repeat-seq") is not None:
                self.sequence -= 1
            if self._faults.take("restart-seq") is not None:
                self.sequence = 0
        return super()._next_number()

    def _say(self, event: Mapping[str, Any]) -> None:
        super()._say(dict(sorted(event.items())) if "sorted-keys" in self._faults else event)

    def _send(self, texts: Sequence[bytes]) -> None:
        if self._mute or self._faults.word("stall") == "nothing":
            return
        super()._send(texts)
        self._frames_sent += len(texts)
        if "drop-after" in self._faults and self._frames_sent >= self._faults.number("drop-after"):
            self.socket.drop()


class Strikes:
    """The faults that befall all connections at once, or the first that begins a channel if there are none."""

    _NAMES = ("restart", "maintenance-start", "maintenance-end", "junk", "drop")

    def __init__(self, faults: Faults, sockets: ServerFactory) -> None:
        self._faults = faults
        self._sockets = sockets
        faults.watch(self._changed)

    def strike(self) -> None:
        """Whatever is armed."""
        conversations = self._sockets.conversations
        for name in self._NAMES if conversations else ():
            value = self._faults.take(name)
            if value is not None:
                for conversation in conversations:
                    assert isinstance(conversation, FaultyConversation)
                    conversation.strike(name, value)

    def _changed(self, name: str) -> None:
        if name == "stop-reading":
            for socket in self._sockets.sockets:
                if name in self._faults:
                    socket.transport.pauseProducing()
                else:
                    socket.transport.resumeProducing()
        elif name in self._NAMES:
            self.strike()
