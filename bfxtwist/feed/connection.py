"""One connection that is kept up for ever: connect, hold, and when it ends, wait and connect again.

    WAITING  for the budget and the back-off   ──►  CONNECTING  name, TCP, TLS, handshake   ──►  OPEN  a session
       ▲                                                 │ refused                                 │ ended
       └─────────────────────────────────────────────────┴─────────────────────────────────────────┘

What should be subscribed is held here and handed to each new session, which sends `conf` first: there is no other path by
which anything is subscribed. `ClientService` is not used: with Autobahn it forgets its back-off at every TCP connect, leaves
sockets open when it is stopped in a handshake, and can stop trying for ever (tried with Twisted 26.10).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from bfxtwist.core.channels import Tally
from bfxtwist.core.errors import ExchangeError, HandshakeRefused, ServerRestarting, one_line
from bfxtwist.core.market import Market
from bfxtwist.core.messages import Refused
from bfxtwist.core.moment import Moment, iso
from bfxtwist.core.session import Session
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.uplink_status import ConnectionState, ConnectionStatus
from bfxtwist.feed.backoff import Backoff
from bfxtwist.feed.budget import ConnectBudget
from bfxtwist.feed.retry_after import seconds_to_wait
from bfxtwist.feed.tls import TLS_ERRORS, explain
from bfxtwist.feed.websocket import FeedFactory, FeedProtocol

_log = Logger()

#: A session that was ready for so long was healthy, and the back-off begins anew; not so where a server accepts and kicks.
HEALTHY = 60.0

#: How long to let a server be that has said it restarts, in seconds, from and to.
RESTART_PAUSE = (1.0, 5.0)

#: What may come of an attempt to connect that is nobody's bug.
EXPECTED = (ExchangeError, ConnectError, ConnectionClosed, DNSLookupError, *TLS_ERRORS)


@dataclass(slots=True, kw_only=True)
class Uplink:
    """What all connections to one exchange share."""

    url: str
    endpoint: IStreamClientEndpoint
    market: Market
    clock: IReactorTime
    moment: Callable[[], Moment]
    rng: Random
    budget: ConnectBudget
    tally: Tally = field(default_factory=Tally)
    ends: Counter[str] = field(default_factory=Counter)  # by the word for what ended a connection or an attempt
    fast_frames: bool = True


class Connection:
    """One connection's life, and what its sessions tell. `refused` and `displaced` are as in SessionObserver."""

    def __init__(
        self,
        uplink: Uplink,
        number: int,
        capacity: int,
        refused: Callable[[Subscription, Refused], None],
        displaced: Callable[[Subscription], None],
    ) -> None:
        self.number = number
        self.capacity = capacity  # as many channels as its session takes
        self._usual_capacity = capacity
        self.subscriptions: list[Subscription] = []
        self.state = ConnectionState.STOPPED
        self._uplink = uplink
        self._tell_refused = refused
        self._tell_displaced = displaced
        self._backoff = Backoff(uplink.rng)
        self._since = uplink.moment()
        self._last_end = ""
        self._protocol: FeedProtocol | None = None
        self._stopping = False
        self._life: Deferred[None] | None = None

    # --- what is wanted ---------------------------------------------------------------------------------------

    def want(self, subscription: Subscription) -> None:
        """Subscribe this, now and on every connect."""
        self.subscriptions.append(subscription)
        self._in_session(lambda session, moment: session.want(subscription, moment))

    def drop(self, subscription: Subscription) -> None:
        """Do not subscribe this any more."""
        self.subscriptions.remove(subscription)
        self._in_session(lambda session, moment: session.drop(subscription, moment))

    def _in_session(self, action: Callable[[Session, Moment], None]) -> None:
        protocol = self._protocol
        if protocol is not None and (session := protocol.session) is not None:
            protocol.do(lambda moment: action(session, moment))

    # --- its life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and stay connected."""
        self._stopping = False
        self._life = Deferred.fromCoroutine(self._live())

    def stop(self) -> Deferred[None]:
        """Close, whatever is being done. Fires when the socket is closed, within 3 s."""
        self._stopping = True
        life, done = self._life, Deferred[None]()
        if life is None:
            done.callback(None)
            return done
        life.addBoth(lambda _: done.callback(None))
        if self._protocol is not None:
            self._protocol.close()
        else:
            life.cancel()
        return done

    async def _live(self) -> None:
        pause = 0.0
        while not self._stopping:
            try:
                await self._wait(pause)
                protocol = await self._open()
                error = await self._hold(protocol)
            except Exception as refused:  # noqa: BLE001 - the next try comes whatever it was; what is a bug is logged as one
                error = refused
                if not self._stopping and not isinstance(error, EXPECTED):
                    _log.failure("connection {number}: a bug while connecting", number=self.number)
            if not self._stopping:  # else it is `stop` that has cancelled or closed
                pause = self._pause_after(error)
        self._become(ConnectionState.STOPPED)

    async def _wait(self, seconds: float) -> None:
        """The pause of the back-off, and then that of the budget."""
        self._become(ConnectionState.WAITING)
        clock = self._uplink.clock
        if seconds > 0:
            await deferLater(clock, seconds)
        while (seconds := self._uplink.budget.ask(clock.seconds())) > 0:
            await deferLater(clock, seconds)

    async def _open(self) -> FeedProtocol:
        """Everything up to the open WebSocket. Raises what came instead of it."""
        self._become(ConnectionState.CONNECTING)
        uplink = self._uplink
        factory = FeedFactory(uplink.url, self._begin_session, uplink.clock, uplink.moment, uplink.fast_frames)
        connected: Deferred[Any] = uplink.endpoint.connect(factory)
        protocol: FeedProtocol = await connected
        try:
            await protocol.opened
        except CancelledError:
            protocol.close()
            await protocol.ended
            raise
        return protocol

    def _begin_session(self, send: Callable[[bytes], None]) -> Session:
        self.capacity = self._usual_capacity  # what the last one was refused may have been for that moment
        return Session(self._uplink.market, self.subscriptions, send, self, self._uplink.tally)

    async def _hold(self, protocol: FeedProtocol) -> Exception:
        """An open WebSocket, for as long as it stays so. What ended it."""
        self._protocol = protocol
        self._become(ConnectionState.OPEN)
        _log.info("connection {number} is open; channels: {count}", number=self.number, count=len(self.subscriptions))
        ticking = LoopingCall(protocol.tick)
        ticking.clock = self._uplink.clock
        ticking.start(1.0, now=False)
        error = await protocol.ended
        ticking.stop()
        self._protocol = None
        ready = protocol.session and protocol.session.ready_at
        if ready and self._uplink.moment().monotonic - ready.monotonic >= HEALTHY:
            self._backoff.reset()
        return error

    def _pause_after(self, error: Exception) -> float:
        """Log and count what ended a connection or an attempt; seconds to wait before the next one."""
        uplink = self._uplink
        pause = self._backoff.next_delay()
        if isinstance(error, ServerRestarting):
            pause = max(pause, uplink.rng.uniform(*RESTART_PAUSE))
        if isinstance(error, HandshakeRefused) and (asked := seconds_to_wait(error.status, error.retry_after)):
            uplink.budget.block(uplink.clock.seconds(), asked)
        reason = _word_for(error)
        uplink.ends[reason] += 1
        self._last_end = f"{reason}: {one_line(explain(error))}"
        text = "connection {number} ended, {end}; again in {wait:.1f} s"
        wait = max(pause, uplink.budget.wait(uplink.clock.seconds()))  # after 429, or ten attempts in a minute
        _log.warn(text, number=self.number, end=self._last_end, wait=wait)
        return pause

    def _become(self, state: ConnectionState) -> None:
        self.state = state
        self._since = self._uplink.moment()

    def status(self) -> ConnectionStatus:
        """What `GET /status` says of this connection."""
        session = self._protocol and self._protocol.session
        return ConnectionStatus(
            number=self.number,
            state=self.state,
            session=session.state.name.lower() if session else None,
            since=iso(self._since.wall // 1000),
            channels=len(self.subscriptions),
            last_end=self._last_end or None,
        )

    # --- the session tells --------------------------------------------------------------------------------------

    def noted(self, text: str, /, **fields: object) -> None:
        """Something for the log."""
        _log.info("connection {number}: " + text, number=self.number, **fields)

    def refused(self, subscription: Subscription, refusal: Refused) -> None:
        """The exchange does not have it, or not now. The session goes on asking now and then."""
        _log.error("{what} is refused: {text} ({code})", what=str(subscription), text=refusal.text, code=refusal.code)
        self._tell_refused(subscription, refusal)

    def displaced(self, subscription: Subscription) -> None:
        """This connection is full."""
        self.subscriptions.remove(subscription)
        self.capacity = len(self.subscriptions)
        text = "connection {number} takes no more than {capacity} channels; {what} moves to another"
        _log.info(text, number=self.number, capacity=self.capacity, what=str(subscription))
        self._tell_displaced(subscription)


def _word_for(error: Exception) -> str:
    if isinstance(error, ExchangeError):
        return error.reason
    if isinstance(error, TLS_ERRORS):
        return "tls"
    return "connect" if isinstance(error, EXPECTED) else "bug"
