"""The live market in Bitfinex's own public protocol, at `/ws/2`: any of its clients uses it by changing a URL.

    <- {"event":"info","version":2,"serverId":"…","platform":{"status":1}}       0: no feed is live
    -> {"event":"conf","flags":229376}          SEQ_ALL, TIMESTAMP, OB_CHECKSUM, BULK_UPDATES
    <- {"event":"conf","status":"OK","flags":229376}
    -> {"event":"subscribe","channel":"book","symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"25"}
    <- {"event":"subscribed","channel":"book","chanId":1,…}      when its feed is live; until then there is no answer
    <- [1,[[…],…],1,…]                          the snapshot, once; then updates, and cs after those the exchange verified
    <- {"event":"info","code":20060,…}          the feed of a channel is not live: nothing comes on it, not even hb
    <- [1,[…],7,…] …                            it is live again: what is different from what was told last
    <- {"event":"info","code":20061,…}          every channel of this connection is live
    <- {"event":"unsubscribed","status":"OK","chanId":1}       also unasked, when the daemon does not carry it any more
    <- {"event":"info","code":20051,…}          the daemon stops; a close follows

What is said and answered is `exchange/conversation.py`, word for word what the simulator says. Different here:

A book that is not verified is not told. The exchange announces maintenance with 20060 and its end with 20061, after which
a client should subscribe again; so does this. But the clients in use heed neither (bitfinex-api-py 4.0, ccxt 4.5), and
cannot take a second snapshot in a subscription. So the channel itself goes on after the gap with updates that lead from what
was told to what is now, and with the trades that happened meanwhile, as far as the exchange's snapshot has them. Who heeds
20061 gets a new snapshot, who does not has a right book too.

Everything that a client may take is bounded, and each bound has its error: connections (HTTP 503), channels (10305), the
length of a message (`request: too long`, 10020, close 1009), the rate of messages (`ratelimit: error`, 11010, close 1008),
and not reading (close 1008 with the reason, and TCP is cut if that is not read either). The origin of a page and the name of
the host are the site's to check (`guard.py`), for the upgrade as for every request.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any
from uuid import uuid4
from weakref import WeakSet

from autobahn.twisted.resource import WebSocketResource
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.protocols.policies import ProtocolWrapper
from twisted.web.resource import Resource
from twisted.web.server import Request

from bfxtwist.core.feed_state import Feed, FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import Code, Subscribe
from bfxtwist.core.moment import Moment
from bfxtwist.exchange.conversation import Channel, Conversation
from bfxtwist.exchange.server import ServerFactory, ServerProtocol
from bfxtwist.exchange.venue import Item, Kind, Limits, Reader
from bfxtwist.out.problems import RETRY_AFTER, Problem
from bfxtwist.out.relay_frames import Forms
from bfxtwist.out.relay_venue import MarketVenue

#: What the kernel may keep for a client; by itself it keeps up to 4 MiB.
SEND_BUFFER = 64 * 1024

#: RFC 6455, 7.4.1.
_GOING_AWAY, _POLICY, _TOO_BIG = 1001, 1008, 1009

#: Seconds that a client has to take a close frame and what is before it; and, when the daemon stops, all of them.
_LAST_WORDS = 5.0
_STOP_SECONDS = 1.0

#: Seconds between two looks for clients that do not read, and for what waits.
_LOOK_ROUND = 1.0

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
            self._relay.end(self, _POLICY, "too many", f"more than {limits.requests_per_second:g} requests a second")
        else:
            super().received(payload)

    def settle(self) -> None:
        """Feeds may have changed their states: end what is gone, acknowledge what waits, and say what is not live."""
        venue = self._relay.venue
        for channel in list(self.channels.values()):
            if venue.gone(channel.subscription):
                super()._close(channel)
            elif not channel.open and venue.ready(channel.subscription):
                super()._grant(channel)
        channels = self.channels.values()
        paused = any(map(self._not_live, channels)) or (self._paused and any(map(self._behind, channels)))
        if paused is not self._paused:
            self._paused = paused
            self.announce(Code.MAINTENANCE_START if paused else Code.MAINTENANCE_END)

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

    def rest(self) -> None:
        """Beat no more."""
        if self._heart.running:
            self._heart.stop()


class Door(Resource):
    """`/ws/2` of the site: upgrades, or says why not."""

    isLeaf = True

    def __init__(self, factory: RelayFactory, connections: int) -> None:
        super().__init__()
        self._factory = factory
        self._connections = connections
        self._upgrade = WebSocketResource(factory)
        self.refused = 0

    def render(self, request: Request) -> bytes | int:
        """Upgrade the connection."""
        if (request.getHeader("Upgrade") or "").lower() != "websocket":
            headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
            return Problem(426, "this is a WebSocket: connect with ws://", headers=headers).answer(request)
        if len(self._factory.sockets) >= self._connections:
            self.refused += 1
            return Problem(503, "too many connections", headers={"Retry-After": str(RETRY_AFTER)}).answer(request)
        result: bytes | int = self._upgrade.render(request)
        return result


class Relay(Service):
    """The relay as a service. Serve `resource` at `/ws/2`; `status()` is for `GET /status`."""

    name = "relay"

    def __init__(
        self, market: Market, clock: IReactorTime, moment: Callable[[], Moment], limits: RelayLimits | None = None
    ) -> None:
        self.limits = limits or RelayLimits()
        self.clock = clock
        self.venue = MarketVenue(market, clock, self._give_up, self._settle_soon)
        self.forms = Forms(self.now)
        self.ended: Counter[str] = Counter()  # connections that were ended from here, by kind of reason
        self._market = market
        self._moment = moment
        self._server_id = str(uuid4())
        timing = Limits(idle_seconds=self.limits.idle_seconds, heartbeat_seconds=self.limits.heartbeat_seconds)
        self._factory = RelayFactory(clock, self._begin, timing, closed=self._closed)
        self.resource = Door(self._factory, self.limits.connections)
        self._watched: WeakSet[Feed] = WeakSet()
        self._round = LoopingCall(self._look_round)
        self._round.clock = clock
        self._settling: IDelayedCall | None = None
        self._stopping: Deferred[None] | None = None

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self._moment().wall // 1000

    def status(self) -> dict[str, Any]:
        """Connections, what they read, and who was turned away or ended."""
        return {
            "connections": len(self._factory.sockets),
            "choked": sum(socket.choked for socket in self._factory.sockets),
            "refused": self.resource.refused,
            "ended": dict(self.ended),
            "readers": self._readers(),
        }

    def end(self, conversation: RelayConversation, code: int, kind: str, reason: str) -> None:
        """Close a connection for what its client does; `kind` is what is counted."""
        if conversation.socket.finish(code, reason):
            self.ended[kind] += 1

    # --- a service --------------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Beat, and look round."""
        super().startService()
        self._factory.start()
        self._round.start(_LOOK_ROUND)

    def stopService(self) -> Deferred[None]:
        """Tell the clients, and close their connections. Fires when they are gone, within a second or so."""
        super().stopService()
        self._round.stop()
        self._factory.rest()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        self._stopping = Deferred()
        for conversation in self._conversations():
            conversation.announce(Code.RESTART)
            conversation.socket.finish(_GOING_AWAY, "the daemon stops")
        cut = self.clock.callLater(_STOP_SECONDS, self._factory.stop)
        stopped = self._stopping
        stopped.addCallback(lambda _: cut.cancel() if cut.active() else None)
        self._closed()
        return stopped

    # --- connections ------------------------------------------------------------------------------------------------

    def _conversations(self) -> list[RelayConversation]:
        return [c for c in self._factory.conversations if isinstance(c, RelayConversation)]

    def _begin(self, socket: ServerProtocol) -> Conversation:
        assert isinstance(socket, RelayProtocol)
        conversation = RelayConversation(self, socket)
        conversation.begin(self._server_id, any(feed.state is FeedState.LIVE for feed in self._market.feeds()))
        return conversation

    def _closed(self) -> None:
        if self._stopping is not None and not self._factory.sockets:
            stopping, self._stopping = self._stopping, None
            self._factory.stop()
            stopping.callback(None)

    def _give_up(self, reader: Reader, reason: str) -> None:
        assert isinstance(reader, RelayConversation)
        self.end(reader, _POLICY, "too slow", reason)

    # --- what happens to the feeds ----------------------------------------------------------------------------------

    def _look_round(self) -> None:
        """Feeds that are new are watched; clients who do not read are given up; what waits may be ready now."""
        for feed in self._market.feeds():
            if feed not in self._watched:
                self._watched.add(feed)
                feed.watchers.append(lambda _feed: self._settle_soon())
        patience = self.clock.seconds() - self.limits.unread_seconds
        for conversation in self._conversations():
            since = conversation.socket.choked_since
            if since is not None and since <= patience:
                self._give_up(conversation, f"too slow: nothing was read for {self.limits.unread_seconds:g} s")
            elif conversation.waits:
                conversation.settle()

    def _settle_soon(self) -> None:
        if self._settling is None and self.running:
            self._settling = self.clock.callLater(0, self._settle)

    def _settle(self) -> None:
        self._settling = None
        self.venue.wake()
        for conversation in self._conversations():
            conversation.settle()

    def _readers(self) -> list[dict[str, Any]]:
        return [
            {"symbol": name.symbol, "channel": name.channel.value, **name.parameters, "readers": readers}
            for name, readers in self.venue
        ]
