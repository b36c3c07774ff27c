"""One subscription on one connection: what was asked, what was answered, and when the answer is due.

                                 REFUSED
                                  ▲   │
                 "no such symbol" │   │ subscribe, ten minutes later
                                  │   ▼
    WANTED ───── subscribe ────► REQUESTED ── subscribed ──► ACKNOWLEDGED ── snapshot ──► LIVE
     ▲  ▲                         │                               │                        │
     │  └────── "try again" ◄─────┘                               │                        │
     └───────── unsubscribed ◄──────────── LEAVING ◄──────────────┴────── unsubscribe ─────┘

A channel that goes wrong is left and, once the exchange has said `unsubscribed`, subscribed again on the same connection:
a request before that is answered with "dup" (10301). One that the exchange ends of its own accord is subscribed again, too.
What it refuses is asked for again every ten minutes: it may have it again. When its connection
ends, so does a channel, and no answer comes any more.
"""

from collections.abc import Callable
from enum import Enum, auto
from math import inf
from typing import Any

from bfxtwist.core.book import Book
from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.errors import ChannelSilent, ChannelWrong, MalformedMessage, SnapshotMissing, StillWrong, Unanswered
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import (
    BookUpdate,
    BookUpdates,
    Checksum,
    Code,
    Frame,
    Heartbeat,
    Refused,
    Rows,
    Run,
    Subscribe,
    TradeExecuted,
    TradesExecuted,
    UnknownFrame,
    Unsubscribe,
)
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trade_feed import TradeFeed

#: Acknowledgements of books took up to 12.9 s (measured in a 2021 capture); the snapshot follows within 33 ms.
ANSWER_TIMEOUT = 30.0

#: A subscribe request that was not answered is sent so many times before the connection is given up.
ATTEMPTS = 2

#: Heartbeats come every 15 s on each channel, busy or quiet (docs ws-general; measured in 2021 and 2026).
HEARTBEAT_LATE = 20.0

#: Two heartbeats, and 5 s of grace: for a channel, and for a connection without a frame on any.
SILENCE = 35.0

#: A channel is subscribed again at most once in so many seconds.
RESUBSCRIBE_EVERY = 5.0

#: A connection that carries others that are live is ended because of one channel at most once in so many seconds.
OTHERS_SPARED = 600.0

#: "Try again later" (11000 and codes that are not known) is obeyed with a pause that doubles from 1 s to this.
LONGEST_PAUSE = 60.0

#: Refusals that asking again soon does not change, unless the platform is in maintenance; and the pause before it is tried.
REFUSED_PAUSE = 600.0
PERMANENT = frozenset({Code.GENERIC, Code.SUBSCRIBE_FAILED, Code.UNKNOWN_CHANNEL})


class ChannelState(Enum):
    """Where a subscription stands."""

    WANTED = auto()  # to be subscribed when it is due
    REQUESTED = auto()
    ACKNOWLEDGED = auto()  # the snapshot is due
    LIVE = auto()
    LEAVING = auto()
    REFUSED = auto()  # for a long while


_Take = Callable[[Any, Moment], None]


class Channel:
    """One subscription's conversation. Methods raise ChannelWrong where the session must see to it."""

    def __init__(
        self,
        subscription: Subscription,
        feed: BookFeed | TradeFeed,
        number: int,
        send: Callable[[bytes], None],
        others_live: Callable[["Channel"], bool],
    ) -> None:
        """`others_live` says whether the connection carries others that are live."""
        self.subscription = subscription
        self.feed = feed
        self.sub_id = str(number)  # a text: the exchange and its own client echo it as one
        self.state = ChannelState.WANTED
        self.wanted = True
        self.id: int | None = None
        self._send = send
        self._others_live = others_live
        self._due = -inf  # of WANTED: not before; of the others: not after
        self._requests = 0  # without an answer
        self._refusals = 0  # in a row
        self._duplicate: int | None = None  # the channel id that "dup" named
        self._next_resubscription = -inf
        self._faults: list[float] = []
        self._takes: dict[type, _Take] = {}
        self.live_book: Book | None = None  # where updates may be put

    @property
    def gone(self) -> bool:
        """Whether nobody wants it and the exchange knows nothing of it."""
        return not self.wanted and self.state in (ChannelState.WANTED, ChannelState.REFUSED)

    # --- frames -----------------------------------------------------------------------------------------------

    def received(self, frame: Frame | Run, count: int, moment: Moment) -> None:
        """Take in a frame, or a run of `count` of this channel alone.

        Raises ChannelWrong, and MalformedMessage for what is none of this channel's.
        """
        take = self._takes.get(type(frame))
        if take is not None:
            take(frame, moment)
        elif self.state is not ChannelState.LEAVING:  # a few frames come after the request to end
            self._unexpected(frame)
        self.feed.seen(frame.timestamp, moment, count)

    def _unexpected(self, frame: Frame | Run) -> None:
        """A kind of frame that the exchange has added is no reason to leave: it would come again.

        Should it mean that something of ours comes in another way now, a checksum or history tells.
        """
        if isinstance(frame, UnknownFrame) and frame.kind:
            return
        kind = type(frame).__name__
        if self.state is ChannelState.ACKNOWLEDGED:
            raise SnapshotMissing(f"{kind} before the snapshot")
        raise MalformedMessage(f"{kind} on a {self.subscription.channel} channel", repr(frame).encode())

    def has_put(self, count: int, seq: int, timestamp: int, moment: Moment) -> None:
        """Rows were put into the live book, the last one by the frame of this number and time."""
        assert isinstance(self.feed, BookFeed)
        self.feed.has_put(count, seq, timestamp, moment)
        self.feed.seen(timestamp, moment, count)

    def _snapshot(self, message: Rows, moment: Moment) -> None:
        self.feed.snapshot(message, moment)
        self._enter(ChannelState.LIVE, inf)

    # --- answers ----------------------------------------------------------------------------------------------

    def acknowledged(self, channel_id: int, moment: Moment) -> None:
        """`subscribed` came."""
        self.id = channel_id
        self._requests = self._refusals = 0
        self._duplicate = None
        self._enter(ChannelState.ACKNOWLEDGED, moment.monotonic + ANSWER_TIMEOUT)
        if self.wanted:
            self.feed.syncing("waiting for the snapshot", moment)
        else:
            self.leave(moment)

    def refused(self, refusal: Refused, operative: bool, moment: Moment) -> bool:
        """An error came in answer to the request. Whether it is more than "not now", as in maintenance (not `operative`)."""
        if refusal.code == Code.ALREADY_SUBSCRIBED:
            # It may come before the first one's own acknowledgement, which is therefore still awaited.
            duplicate = refusal.request.get("chanId")
            self._duplicate = duplicate if type(duplicate) is int else None
            return False
        self.feed.lost(f"refused: {refusal.text} ({refusal.code})", moment)
        self._requests = 0
        if operative and refusal.code in PERMANENT:
            self._enter(ChannelState.REFUSED, moment.monotonic + REFUSED_PAUSE)
            return True
        self._enter(ChannelState.WANTED, moment.monotonic + min(2.0**self._refusals, LONGEST_PAUSE))
        self._refusals += 1
        return False

    def left(self, moment: Moment) -> None:
        """`unsubscribed` came, or an error that says as much, whether or not it was asked for."""
        if self.state is not ChannelState.LEAVING:
            self.feed.lost("the exchange has ended the subscription", moment)
            self.feed.counts.resubscriptions += 1
        self.id = None
        self._enter(ChannelState.WANTED, max(moment.monotonic, self._next_resubscription))
        self._next_resubscription = self._due + RESUBSCRIBE_EVERY

    # --- what is done of our own accord -------------------------------------------------------------------------

    def subscribe(self, moment: Moment) -> None:
        """Ask for it."""
        wanted = self.subscription
        parameters = {**wanted.parameters, "subId": self.sub_id}
        self._requests += 1
        self._enter(ChannelState.REQUESTED, moment.monotonic + ANSWER_TIMEOUT)
        self.feed.syncing("waiting for the acknowledgement", moment)
        self._send(Subscribe(wanted.channel, wanted.symbol, parameters).encode())

    def leave(self, moment: Moment) -> None:
        """Ask to end it."""
        assert self.id is not None  # only what was acknowledged can be left
        self._enter(ChannelState.LEAVING, moment.monotonic + ANSWER_TIMEOUT)
        self._send(Unsubscribe(self.id).encode())

    def resubscribe(self, error: ChannelWrong, moment: Moment) -> None:
        """It went wrong: leave it, to subscribe it again.

        When that was in vain too often: raises StillWrong, or takes its time where a new connection was in vain, too.
        """
        now = moment.monotonic
        self.feed.lost(str(error), moment)
        self._faults = [fault for fault in self._faults if now - fault < error.within] + [now]
        if len(self._faults) > error.tolerated:
            if self._may_end_connection(error.spares, moment):
                raise StillWrong(f"{self.subscription}, {len(self._faults)} times in {error.within:g} s: {error}")
            self._next_resubscription = now + LONGEST_PAUSE
        self.feed.counts.resubscriptions += 1
        self.leave(moment)

    def renew(self, moment: Moment) -> None:
        """Whatever was heard before counts for nothing: begin anew, as after maintenance."""
        if self.state in (ChannelState.ACKNOWLEDGED, ChannelState.LIVE):
            self.feed.lost("subscribing again after maintenance", moment)
            self.leave(moment)
        elif self.state in (ChannelState.WANTED, ChannelState.REFUSED):
            self._due = moment.monotonic
        else:
            self._due = moment.monotonic + ANSWER_TIMEOUT

    def tick(self, moment: Moment) -> None:
        """Do what is due. Raises ChannelWrong, and Unanswered when asking again is of no use."""
        if self.state is ChannelState.LIVE:
            self._watch(moment)
        elif moment.monotonic >= self._due:
            self._overdue(moment)

    def held_up(self, moment: Moment) -> None:
        """This process was held up: what the exchange said meanwhile is not read yet, and what was read before is old."""
        if self.state is ChannelState.LIVE and self._is_late(moment):
            self.feed.silent(moment)

    def _silence(self, moment: Moment) -> float:
        last = self.feed.last_frame
        assert last is not None  # a live channel has had its snapshot
        return moment.monotonic - last.monotonic

    def _is_late(self, moment: Moment) -> bool:
        return self._silence(moment) > HEARTBEAT_LATE or self.feed.delay > HEARTBEAT_LATE * 1000

    def _watch(self, moment: Moment) -> None:
        silence = self._silence(moment)
        if silence > SILENCE:
            raise ChannelSilent(f"no frame for {silence:.0f} s")
        if self._is_late(moment):
            self.feed.silent(moment)
        if self.feed.state is FeedState.LIVE:
            self.feed.keep_time()
        elif moment.monotonic - self.feed.since.monotonic > SILENCE:
            raise ChannelSilent(f"for {SILENCE:g} s no frame was on time")
        if isinstance(self.feed, BookFeed):
            self.feed.check(moment)

    def _overdue(self, moment: Moment) -> None:
        match self.state:
            case ChannelState.WANTED | ChannelState.REFUSED if self.wanted:
                self.subscribe(moment)
            case ChannelState.ACKNOWLEDGED:
                raise ChannelSilent(f"no snapshot within {ANSWER_TIMEOUT:g} s of the acknowledgement")
            case ChannelState.LEAVING:
                raise Unanswered(f"unsubscribe {self.subscription}: no answer within {ANSWER_TIMEOUT:g} s")
            case ChannelState.REQUESTED:
                self._ask_again(moment)

    def _ask_again(self, moment: Moment) -> None:
        if self._duplicate is not None and self._requests <= ATTEMPTS:
            # Subscribed, says the exchange, but never acknowledged: its snapshot is lost.
            self.id, self._duplicate = self._duplicate, None
            self.leave(moment)
        elif not self.wanted:
            self._enter(ChannelState.WANTED, inf)
        elif self._requests < ATTEMPTS:
            self.subscribe(moment)
        elif self._may_end_connection(0.0, moment):
            raise Unanswered(f"subscribe {self.subscription}: no answer within {ATTEMPTS} times {ANSWER_TIMEOUT:g} s")
        else:
            self.subscribe(moment)
            self._due = moment.monotonic + LONGEST_PAUSE

    def _may_end_connection(self, spares: float, moment: Moment) -> bool:
        """Whether a new one may help: not where that was in vain lately, and others would suffer for it."""
        ago = moment.monotonic - self.feed.blamed
        if ago < spares or (ago < OTHERS_SPARED and self._others_live(self)):
            return False
        self.feed.blamed = moment.monotonic
        return True

    def _enter(self, state: ChannelState, due: float) -> None:
        self.state = state
        self._due = due
        self._takes = self._kinds_of(state)
        self.live_book = self.feed.book if state is ChannelState.LIVE and isinstance(self.feed, BookFeed) else None

    def _kinds_of(self, state: ChannelState) -> dict[type, _Take]:
        """Which frames may come, and who takes them."""
        if state is ChannelState.ACKNOWLEDGED:
            return {Rows: self._snapshot, Heartbeat: _nothing}
        if state is not ChannelState.LIVE:
            return {}
        if isinstance(self.feed, BookFeed):
            feed = self.feed
            updates: dict[type, _Take] = {BookUpdate: feed.update, BookUpdates: feed.updates, Rows: feed.bulk_update}
            return {**updates, Checksum: feed.checksum, Heartbeat: _nothing}
        return {TradeExecuted: self.feed.executed, TradesExecuted: self.feed.executed_together, Heartbeat: _nothing}


def _nothing(_frame: Frame, _moment: Moment) -> None:
    """That it came is all that a heartbeat says."""
