"""What is true of every feed, of a book or of trades: its state, since when and why, and what has happened to it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Any

import msgspec

from bfxtwist.core.moment import Moment, iso
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.symbols import parse_pair


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
        self.blamed = -inf  # when a connection was last ended because of this feed, by the monotonic clock
        self.watchers: list[Callable[[Feed], None]] = []
        self._late = False

    @property
    def status_now(self) -> FeedState:
        """The state, as readers are to see it."""
        return self.state

    @property
    def reason_now(self) -> str:
        """Why `status_now` is not live."""
        return self.reason

    def syncing(self, reason: str, moment: Moment) -> None:
        """Subscribed; what comes next must be a snapshot."""
        self._become(FeedState.SYNCING, reason, moment)

    def lost(self, reason: str, moment: Moment) -> None:
        """From here to the next snapshot anything may be missed."""
        had_data = self.counts.snapshots > 0
        self._late = False  # no frame makes up for what is lost now
        self._become(FeedState.STALE if had_data else FeedState.CONNECTING, reason, moment)

    def silent(self, moment: Moment) -> None:
        """The heartbeat is late. Nothing is known to be lost: the next frame in sequence makes the feed live again."""
        if self.state is FeedState.LIVE:
            self._late = True
            self._become(FeedState.STALE, "the heartbeat is late", moment)

    def seen(self, timestamp: int | None, moment: Moment, count: int = 1) -> None:
        """Frames of this channel came, in sequence; the last one's `timestamp`."""
        self.counts.frames += count
        self.last_frame = moment
        self.exchange_time = timestamp
        if self._late:
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

    def status(self) -> dict[str, Any]:
        """What `GET /status` says of this feed."""
        last = self.last_frame
        return {
            "symbol": self.name,
            "exchange_symbol": self.subscription.symbol,
            "channel": self.subscription.channel.value,
            "status": self.status_now.value,
            "reason": self.reason_now,
            "since": iso(self.since.wall // 1000),
            "last_message": last and iso(last.wall // 1000),
            "lag_ms": last and self.exchange_time and last.wall // 1000 - self.exchange_time,
            "counters": msgspec.to_builtins(self.counts),
        }
