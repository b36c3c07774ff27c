"""What is true of every feed, of a book or of trades: its state, since when and why, and what has happened to it."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from math import inf

import msgspec

from bfxtwist.core.messages import ChannelName
from bfxtwist.core.moment import Moment, iso
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.symbols import parse_pair

#: A feed that was late is live again when its frames come no more than this after their time (ms). The exchange itself tells
#: of a book up to a second late (bitfinex-api-node #440).
CAUGHT_UP = 2000

#: So far (ms) the exchange's clock and ours may drift apart in a second: ten times what a poor quartz does.
DRIFT = 1


class FeedState(StrEnum):
    """Only what is live may be trusted."""

    CONNECTING = "connecting"
    SYNCING = "syncing"
    LIVE = "live"
    STALE = "stale"


@dataclass(slots=True)
class Counts:
    """What has happened to one feed since the start."""

    frames: int = 0
    snapshots: int = 0
    updates: int = 0
    trades: int = 0
    checksums_matched: int = 0
    checksums_mismatched: int = 0
    resubscriptions: int = 0
    crossed: int = 0


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /status` says of a feed, member by member, by names that readers know. Times are in words."""

    symbol: str
    exchange_symbol: str
    channel: ChannelName
    status: FeedState
    reason: str
    since: str
    last_message: str | None
    lag_ms: int | None
    counters: Counts


class Feed:
    """One subscription's data, and whether it may be trusted."""

    def __init__(self, subscription: Subscription, moment: Moment) -> None:
        self.subscription = subscription
        self.name = parse_pair(subscription.symbol).name
        self.state = FeedState.CONNECTING
        self.reason = "not connected yet"
        self.since = moment
        self.counts = Counts()
        self.last_frame: Moment | None = None
        self.exchange_time: int | None = None  # the exchange's clock in the last frame, ms
        self.refused = False  # whether the exchange says that it does not have it, when it was asked last
        self.blamed = -inf  # when a connection was last ended because of this feed, by the monotonic clock
        self.watchers: list[Callable[[Feed], None]] = []
        self._late = False
        self._apart: int | None = None  # our monotonic clock less the exchange's, for a frame that is on time, ms

    @property
    def status_now(self) -> FeedState:
        """The state, as readers are to see it."""
        return self.state

    @property
    def reason_now(self) -> str:
        """Why `status_now` is not live."""
        return self.reason

    @property
    def delay(self) -> int:
        """How much later (ms) the last frame came than frames that are on time. By differences only: clocks may be wrong."""
        apart = self._apart_now()
        return 0 if apart is None or self._apart is None else apart - self._apart

    def keep_time(self) -> None:
        """Learn from the last frame when frames are on time. Once a second will do, while the feed is not late."""
        apart = self._apart_now()
        if apart is not None:
            self._apart = apart if self._apart is None else min(apart, self._apart + DRIFT)

    def _apart_now(self) -> int | None:
        if self.last_frame is None or self.exchange_time is None:
            return None
        return round(self.last_frame.monotonic * 1000) - self.exchange_time  # which can be larger than any float

    def syncing(self, reason: str, moment: Moment) -> None:
        """Subscribed; what comes next must be a snapshot."""
        self.refused = False
        self._become(FeedState.SYNCING, reason, moment)

    def lost(self, reason: str, moment: Moment) -> None:
        """From here to the next snapshot anything may be missed."""
        had_data = self.counts.snapshots > 0
        self._late = False  # no frame makes up for what is lost now
        self._apart = None
        self._become(FeedState.STALE if had_data else FeedState.CONNECTING, reason, moment)

    def silent(self, moment: Moment) -> None:
        """The heartbeat is late. Nothing is known to be lost: the next frame that is on time makes the feed live again.

        Frames that had to wait, in a process that was stopped or on a line that was down, are not on time.
        """
        if self.state is FeedState.LIVE:
            self._late = True
            self._become(FeedState.STALE, "the heartbeat is late", moment)

    def seen(self, timestamp: int | None, moment: Moment, count: int = 1) -> None:
        """Frames of this channel came, in sequence; the last one's `timestamp`."""
        self.counts.frames += count
        self.last_frame = moment
        self.exchange_time = timestamp
        if self._late and self.delay <= CAUGHT_UP:
            self._become(FeedState.LIVE, "", moment)

    def _become(self, state: FeedState, reason: str, moment: Moment) -> None:
        if state is not FeedState.STALE:
            self._late = False
        if state is not self.state:
            self.since = moment
        changed = (state, reason) != (self.state, self.reason)
        self.state, self.reason = state, reason
        if changed:
            for watcher in list(self.watchers):
                watcher(self)

    def status(self) -> FeedStatus:
        """What `GET /status` says of this feed."""
        last = self.last_frame
        return FeedStatus(
            symbol=self.name,
            exchange_symbol=self.subscription.symbol,
            channel=self.subscription.channel,
            status=self.status_now,
            reason=self.reason_now,
            since=iso(self.since.wall // 1000),
            last_message=last and iso(last.wall // 1000),
            lag_ms=last and self.exchange_time and last.wall // 1000 - self.exchange_time,
            counters=copy(self.counts),
        )
