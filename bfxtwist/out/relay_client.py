"""One client of the relay: its socket, what is said on it, and the bounds on what it may take."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from socket import SO_SNDBUF, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.protocols.policies import ProtocolWrapper

from bfxtwist.core.messages import Code, Subscribe
from bfxtwist.exchange.conversation import Channel, Conversation, Refusal
from bfxtwist.exchange.server import ServerFactory, ServerProtocol
from bfxtwist.exchange.venue import Item, Kind, Limits

if TYPE_CHECKING:
    from bfxtwist.out.relay import Relay

#: What the kernel may keep for a client; by itself it keeps up to 4 MiB.
SEND_BUFFER = 64 * 1024

#: RFC 6455, 7.4.1.
POLICY, _TOO_BIG = 1008, 1009

#: Seconds that a client has to take a close frame and what is before it.
_LAST_WORDS = 5.0

_TOO_LONG = {"event": "error", "msg": "request: too long", "code": 10020}
_TOO_MANY = {"event": "error", "msg": "ratelimit: error", "code": 11010}  # as the exchange's REST says it


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """What one client, and all of them together, may take."""

    connections: int = 1024
    channels: int = 30  # a connection, as at the exchange
    request_bytes: int = 4096
    requests_at_once: int = 100  # enough to subscribe to everything three times
    requests_per_second: float = 10.0  # from then on
    unread_seconds: float = 5.0  # for which a client may leave 64 KiB and more unread
    idle_seconds: float = 60.0  # without a channel and without a word, a WebSocket's ping included
    heartbeat_seconds: float = 15.0


class RelayConversation(Conversation):
    """What is said on one connection."""

    def __init__(self, relay: "Relay", socket: "RelayProtocol") -> None:
        limits = Limits(channels=relay.limits.channels)
        super().__init__(relay.venue, socket, new_channel_id=lambda: 0, now=relay.now, limits=limits)
        self.socket = socket
        self._relay = relay
        self._paused = False  # whether the client was told that a feed of its is not live
        self._allowance = float(relay.limits.requests_at_once)
        self._heard = relay.clock.seconds()

    def received(self, payload: bytes) -> None:
        """A text frame from the client, if it is within the bounds."""
        limits = self._relay.limits
        now = self._relay.clock.seconds()
        earned = (now - self._heard) * limits.requests_per_second
        self._heard, self._allowance = now, min(self._allowance + earned, limits.requests_at_once) - 1
        if len(payload) > limits.request_bytes:
            self._say(_TOO_LONG)
            self._relay.end(self, _TOO_BIG, "too long", f"a request is longer than {limits.request_bytes} bytes")
        elif self._allowance < 0:
            self._say(_TOO_MANY)
            self._relay.end(self, POLICY, "too many", f"more than {limits.requests_per_second:g} requests a second")
        else:
            super().received(payload)

    def settle(self) -> None:
        """Feeds may have changed their states: end what is gone, acknowledge what waits, and say what is not live."""
        venue = self._relay.venue
        for channel in list(self.channels.values()):
            if venue.gone(channel.subscription):
                self._take_back(channel)
            elif not channel.open and venue.ready(channel.subscription):
                super()._grant(channel)
        channels = self.channels.values()
        paused = any(map(self._not_live, channels)) or (self._paused and any(map(self._behind, channels)))
        if paused is not self._paused:
            self._paused = paused
            self.announce(Code.MAINTENANCE_START if paused else Code.MAINTENANCE_END)

    def _take_back(self, channel: Channel) -> None:
        """It is not to be had any more. Who waits for an acknowledgement knows no channel id yet, and gets an error."""
        if channel.open:
            super()._close(channel)
            return
        del self.channels[channel.subscription]
        asked = Subscribe(channel.subscription.channel, channel.subscription.symbol, channel.request)
        self._refuse(asked, Refusal(Code.SUBSCRIBE_FAILED, "symbol: invalid"))

    @property
    def waits(self) -> bool:
        """Whether some channel is not acknowledged yet, or was not live and is not announced to be."""
        return self._paused or not all(channel.open for channel in self.channels.values())

    def _not_live(self, channel: Channel) -> bool:
        return not self._relay.venue.live(channel.subscription)

    def _behind(self, channel: Channel) -> bool:
        """Whether the client has not been told what there is after the gap."""
        return not channel.open or not self._relay.venue.told(channel.subscription, self)

    def _admit(self, request: Subscribe) -> Channel:
        channel = super()._admit(request)
        return replace(channel, id=self._relay.venue.channel_id(channel.subscription))

    def _grant(self, channel: Channel) -> None:
        self.settle()

    def _close(self, channel: Channel) -> None:
        super()._close(channel)
        self.settle()

    def _beating(self) -> Iterable[Channel]:
        return [channel for channel in super()._beating() if not self._not_live(channel)]

    def _deliver(self, channel: Channel, items: Sequence[Item]) -> None:
        if len(items) == 1 and items[0].kind is Kind.SNAPSHOT:
            super()._deliver(channel, items)
            return
        form = self._relay.forms.get(channel.id, items, self.flags)
        if not self._sequenced:
            self.socket.send_raw(form.unnumbered())
        else:
            self.socket.send_raw(form.numbered(self.sequence + 1))
            self.sequence += len(form)


class RelayProtocol(ServerProtocol):
    """One socket, bounded in what it may leave unread."""

    factory: "RelayFactory"
    _cut: IDelayedCall | None = None

    def onOpen(self) -> None:
        """Bound what the kernel keeps, and greet."""
        below = self.transport
        while isinstance(below, ProtocolWrapper):  # TLS, whose own handle is no socket
            below = below.transport
        handle = getattr(below, "getHandle", None)  # a connection in memory has none
        if handle is not None:
            handle().setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)
        super().onOpen()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The socket is gone."""
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        super().onClose(wasClean, code, reason)
        self.factory.closed()

    def pauseProducing(self) -> None:
        """Who does not read is not listened to either: what it asks would have to be answered."""
        super().pauseProducing()
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It has caught up."""
        super().resumeProducing()
        self.transport.resumeProducing()

    def finish(self, code: int, reason: str) -> bool:
        """Close with a reason, and cut TCP soon if the client does not take it. Whether there was something to close."""
        if self.state != self.STATE_OPEN:
            return False
        self.sendCloseFrame(code=code, reasonUtf8=reason.encode(), isReply=False)
        self._cut = self.factory.clock.callLater(_LAST_WORDS, self.drop)
        return True


class RelayFactory(ServerFactory):
    """Makes sockets. `closed()` is called when one is gone."""

    protocol = RelayProtocol

    def __init__(self, *arguments: Any, closed: Callable[[], None]) -> None:
        super().__init__(*arguments)
        self.closed = closed
        self.setProtocolOptions(closeHandshakeTimeout=0)  # Autobahn's timers are the global reactor's; `finish` has its own
