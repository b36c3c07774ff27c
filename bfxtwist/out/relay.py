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
    <- {"event":"unsubscribed","status":"OK","chanId":1}       also unasked, when the daemon or the exchange has it no more
    <- {"event":"info","code":20051,…}          the daemon stops; a close follows

What is said and answered is `exchange/conversation.py`, word for word what the simulator says. Different here:

A book that is not verified is not told. The exchange announces maintenance with 20060 and its end with 20061, after which
a client should subscribe again; so does this. But the clients in use heed neither (bitfinex-api-py 4.0, ccxt 4.5), and
cannot take a second snapshot in a subscription. So the channel itself goes on after the gap with updates that lead from what
was told to what is now, and with the trades that happened meanwhile, as far as the exchange's snapshot has them. Who heeds
20061 gets a new snapshot, who does not has a right book too.

What a client may take is bounded (`relay_client.py`), and each bound has its error: connections (HTTP 503), channels
(10305), the length of a message (`request: too long`, 10020, close 1009), the rate of messages (`ratelimit: error`, 11010,
close 1008), and not reading (close 1008 with the reason, and TCP is cut if that is not read either). The origin of a page
and the name of the host are the site's to check (`guard.py`), for the upgrade as for every request.
"""

import re
from collections import Counter
from collections.abc import Callable
from uuid import uuid4
from weakref import WeakSet

import msgspec
from autobahn.twisted.resource import WebSocketResource
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import Request

from bfxtwist.core.feed_state import Feed, FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Code
from bfxtwist.core.moment import Moment
from bfxtwist.exchange.conversation import Conversation
from bfxtwist.exchange.server import ServerProtocol
from bfxtwist.exchange.venue import Limits, Reader
from bfxtwist.out.problems import RETRY_AFTER, Problem
from bfxtwist.out.relay_client import POLICY, RelayConversation, RelayFactory, RelayLimits, RelayProtocol
from bfxtwist.out.relay_frames import Forms
from bfxtwist.out.relay_venue import MarketVenue

#: RFC 6455, 7.4.1.
_GOING_AWAY = 1001

#: The versions that Autobahn speaks: of RFC 6455, and of a draft of it that differs in nothing that matters here.
_VERSIONS = ("13", "8")

#: 16 bytes in base64.
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")

#: Seconds that the clients have to take a close frame and what is before it, when the daemon stops.
_STOP_SECONDS = 1.0

#: Seconds between two looks for clients that do not read, and for what waits.
_LOOK_ROUND = 1.0


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
        wrong = _wrong_with_handshake(request)
        if wrong is not None:
            return wrong.answer(request)
        result: bytes | int = self._upgrade.render(request)
        return result


def _wrong_with_handshake(request: Request) -> Problem | None:
    """What a WebSocket's request lacks (RFC 6455, 4.2.1). Autobahn refuses it with a status and no body."""

    def header(name: str) -> str:
        return ",".join(request.requestHeaders.getRawHeaders(name, ()))

    if "upgrade" not in map(str.strip, header("Connection").lower().split(",")):
        return Problem(400, "the handshake lacks Connection: Upgrade, which a proxy in between must pass on")
    if header("Sec-WebSocket-Version") not in _VERSIONS:
        headers = {"Upgrade": "websocket", "Sec-WebSocket-Version": _VERSIONS[0]}
        return Problem(426, f"the handshake must say Sec-WebSocket-Version: {_VERSIONS[0]}", headers=headers)
    if not _KEY.fullmatch(header("Sec-WebSocket-Key")):
        return Problem(400, "the handshake lacks a Sec-WebSocket-Key, or has one that is not 16 bytes in base64")
    return None


class ReaderStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many clients read one channel. Its parameters, which trades have not, are called as requests call them."""

    symbol: str
    channel: ChannelName
    prec: str | None = None
    freq: str | None = None
    len: str | None = None
    readers: int


class RelayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /status` says of the relay, member by member, by names that readers know."""

    connections: int
    choked: int
    refused: int
    ended: dict[str, int]  # by kind of reason
    readers: list[ReaderStatus]


class Relay(Service):
    """The relay as a service. Serve `resource` at `/ws/2`; `status()` is for `GET /status`."""

    name = "relay"

    def __init__(self, market: Market, clock: IReactorTime, moment: Callable[[], Moment], limits: RelayLimits) -> None:
        self.limits = limits
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

    def status(self) -> RelayStatus:
        """Connections, what they read, and who was turned away or ended."""
        return RelayStatus(
            connections=len(self._factory.sockets),
            choked=sum(socket.choked for socket in self._factory.sockets),
            refused=self.resource.refused,
            ended=dict(self.ended),
            readers=self._readers(),
        )

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
        if self._round.running:  # not of a daemon that could not start
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
        self.end(reader, POLICY, "too slow", reason)

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
                self._give_up(conversation, f"too slow: 64 KiB and more were unread for {self.limits.unread_seconds:g} s")
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

    def _readers(self) -> list[ReaderStatus]:
        return [
            ReaderStatus(symbol=name.symbol, channel=name.channel, **name.parameters, readers=readers)
            for name, readers in self.venue
        ]
