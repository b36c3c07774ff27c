"""All subscriptions of one connection: which of them a frame or an answer is meant for, and what follows from it.

The session (`session.py`) knows the state of the connection; here is what it carries. A channel that is wrong is dealt with
here, by itself; an ExchangeError that leaves this module ends the connection.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol

from bfxtwist.core.channel import Channel, ChannelState
from bfxtwist.core.errors import ChannelWrong, MalformedMessage, WrongAnswer
from bfxtwist.core.market import Market
from bfxtwist.core.messages import BookUpdates, Code, Frame, Refused, Run, Subscribed
from bfxtwist.core.moment import Moment
from bfxtwist.core.runs import cut, ends_of_batches, is_of_one, parts_of
from bfxtwist.core.subscription import Subscription

#: The fields of an answer that tell why it fits no request.
_TELLING = ("channel", "symbol", "prec", "freq", "len", "subId", "chanId")


class SessionObserver(Protocol):
    """Who is told what the market does not show."""

    def noted(self, text: str, /, **fields: object) -> None:
        """Something for the log: a format and its fields."""

    def refused(self, subscription: Subscription, refusal: Refused) -> None:
        """The exchange does not have it. It is asked for again in ten minutes, and on the next connect."""

    def displaced(self, subscription: Subscription) -> None:
        """The connection has as many channels as the exchange allows: the subscription belongs on another one."""


@dataclass(slots=True)
class Tally:
    """What has been seen, over as many sessions as share it."""

    frames: int = 0
    bytes: int = 0
    stray_frames: int = 0  # of channels that are not ours, or not yet, or not any more
    unknown_events: int = 0  # and frames of kinds that are not known
    refusals: int = 0
    pongs: int = 0


class Channels:
    """The channels of one connection."""

    def __init__(self, market: Market, send: Callable[[bytes], None], observer: SessionObserver, tally: Tally) -> None:
        self._market = market
        self._send = send
        self._observer = observer
        self._tally = tally
        self._channels: dict[Subscription, Channel] = {}
        self._by_id: dict[int, Channel] = {}
        self._made = 0
        #: By channel id: how many rows were put into its book, and the number and time of the last.
        self._unsettled: dict[int, tuple[int, int, int]] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(list(self._channels.values()))

    # --- what is wanted -----------------------------------------------------------------------------------------

    def add(self, subscription: Subscription) -> Channel:
        """The channel of a subscription, which is wanted from now on; it is subscribed when it is ticked."""
        channel = self._channels.get(subscription)
        if channel is None:
            self._made += 1
            channel = Channel(subscription, self._market.feed(subscription), self._made, self._send, self._others_live)
            self._channels[subscription] = channel
        channel.feed = self._market.feed(subscription)  # a new one, where it was dropped and is wanted again
        channel.wanted = True
        return channel

    def drop(self, subscription: Subscription, moment: Moment) -> None:
        """It is not wanted any more. Raises KeyError for what never was."""
        channel = self._channels[subscription]
        channel.wanted = False
        channel.feed.lost("not subscribed any more", moment)
        if channel.state in (ChannelState.ACKNOWLEDGED, ChannelState.LIVE):
            channel.leave(moment)
        self._forget_if_gone(channel)

    def _others_live(self, channel: Channel) -> bool:
        return any(other.state is ChannelState.LIVE for other in self._channels.values() if other is not channel)

    # --- what comes -----------------------------------------------------------------------------------------------

    def received(self, channel_id: int, frame: Frame | Run, count: int, moment: Moment) -> None:
        """Hand a frame, or a run of `count`, to its channel; those of channels that are not ours are counted."""
        if channel_id in self._unsettled:
            self._settle(channel_id, moment)
        channel = self._by_id.get(channel_id)
        if channel is None:
            self._tally.stray_frames += count
            return
        try:
            channel.received(frame, count, moment)
        except ChannelWrong as error:
            self._subscribe_again(channel, error, moment)

    def received_together(self, run: Run, moment: Moment) -> None:
        """Hand a run to its channels: to each what is its own, in its order. Call `settle` when nothing more comes."""
        if is_of_one(run):
            self.received(run.channel_ids[0], run, len(run.seqs), moment)
        elif isinstance(run, BookUpdates):
            self._put(run, moment)
        else:
            for part in parts_of(run):
                self.received(part.channel_ids[0], part, len(part.seqs), moment)

    def _put(self, run: BookUpdates, moment: Moment) -> None:
        """Into many books, batch by batch: the rows at once, and what is to be said of each book when nothing more comes.

        A batch may be a single update. For each, no more is touched of a book than its rows: of hundreds of books, nothing
        is in the processor's nearer caches (2.4 instead of 2.9 µs an update where no two in a row are of one book).
        """
        channel_ids, numbers, texts, seqs, timestamps = run
        start = 0
        for end in ends_of_batches(run):
            channel_id = channel_ids[start]
            channel = self._by_id.get(channel_id)
            if channel is None or channel.live_book is None:
                self.received(channel_id, cut(run, start, end), end - start, moment)
            else:
                put = channel.live_book.put
                try:
                    for index in range(start, end):
                        put(texts[index], numbers[index])
                except ValueError as error:
                    raise MalformedMessage(str(error), texts[index]) from None
                before, _, _ = self._unsettled.get(channel_id, (0, 0, 0))
                self._unsettled[channel_id] = before + end - start, seqs[end - 1], timestamps[end - 1]
            start = end

    def settle(self, moment: Moment) -> None:
        """Nothing more comes for now."""
        for channel_id in list(self._unsettled):
            self._settle(channel_id, moment)

    def _settle(self, channel_id: int, moment: Moment) -> None:
        self._by_id[channel_id].has_put(*self._unsettled.pop(channel_id), moment)

    def subscribed(self, ack: Subscribed, moment: Moment) -> None:
        """Raises WrongAnswer for what was never asked for, and for an id that is another channel's."""
        channel = self._asked_by(ack.request)
        if channel is not None and channel.id == ack.channel_id:
            return  # said twice
        if channel is None or channel.state is not ChannelState.REQUESTED:
            echo = [f"{key} {ack.request[key]}" for key in _TELLING if key in ack.request]
            raise WrongAnswer(f"never asked for: {', '.join(echo)}")
        if ack.channel_id in self._by_id:  # nobody could tell which of the two a frame is for
            other = self._by_id[ack.channel_id].subscription
            raise WrongAnswer(f"{channel.subscription} was given channel {ack.channel_id}, which is that of {other}")
        channel.acknowledged(ack.channel_id, moment)
        self._by_id[ack.channel_id] = channel

    def unsubscribed(self, channel_id: int, operative: bool, moment: Moment) -> None:
        """It is subscribed again: at once if that was asked for, else with the next tick. Maintenance is waited out."""
        for channel in self:
            if channel.id is not None and channel.id == channel_id:
                asked_for = channel.state is ChannelState.LEAVING
                self._by_id.pop(channel_id, None)
                channel.left(moment)
                if asked_for and operative:
                    self.tick(channel, moment)

    def refused(self, refusal: Refused, operative: bool, moment: Moment) -> None:
        """An error, of which everything but the code may be missing. In maintenance, not `operative`, none is final."""
        channel = self._asked_by(refusal.request)
        if refusal.code in (Code.UNSUBSCRIBE_FAILED, Code.NOT_SUBSCRIBED):
            self.unsubscribed(refusal.request.get("chanId", -1), operative, moment)
        elif channel is None or channel.state is not ChannelState.REQUESTED:
            self._observer.noted("the exchange refuses: {text} ({code})", text=refusal.text, code=refusal.code)
        elif refusal.code == Code.CHANNEL_LIMIT and self._has_others(channel):
            channel.feed.lost(f"{refusal.text} ({refusal.code})", moment)
            del self._channels[channel.subscription]
            if channel.wanted:
                self._observer.displaced(channel.subscription)
        else:
            final = channel.feed.refused = channel.refused(refusal, operative, moment)
            if channel.wanted and final:
                self._observer.refused(channel.subscription, refusal)
            elif channel.wanted:
                text = "{what} is refused for now: {text} ({code})"
                self._observer.noted(text, what=str(channel.subscription), text=refusal.text, code=refusal.code)
            self._forget_if_gone(channel)

    def _has_others(self, channel: Channel) -> bool:
        """Whether the exchange carries others here, or has yet to answer for such as were asked for before this one.

        Where it has refused them all, the connection is not full, and nothing tells that another would have room.
        """
        before = takewhile(lambda other: other is not channel, self._channels.values())
        carried = any(other.id is not None for other in self._channels.values() if other is not channel)
        return carried or any(other.state is ChannelState.REQUESTED for other in before)

    def _asked_by(self, echo: Mapping[str, Any]) -> Channel | None:
        """The channel whose request this answer echoes: by our own id, or by every field that we sent."""
        sub_id = echo.get("subId")
        if sub_id is None and "symbol" not in echo:
            return None
        for channel in self:
            if sub_id in (None, channel.sub_id) and _same_request(channel.subscription, echo):
                return channel
        return None

    # --- time -----------------------------------------------------------------------------------------------------

    def tick_all(self, moment: Moment) -> None:
        """Do what is due."""
        for channel in self:
            self.tick(channel, moment)

    def tick(self, channel: Channel, moment: Moment) -> None:
        """Do what is due of one channel."""
        try:
            channel.tick(moment)
        except ChannelWrong as error:
            self._subscribe_again(channel, error, moment)
        self._forget_if_gone(channel)

    def held_up(self, moment: Moment) -> None:
        """Time has passed in which nothing could be done."""
        for channel in self:
            channel.held_up(moment)

    def renew_all(self, moment: Moment) -> None:
        """Begin every channel anew."""
        for channel in self:
            channel.renew(moment)
            self.tick(channel, moment)

    def lost(self, reason: str, moment: Moment) -> None:
        """Nothing of what the channels brought is to be trusted any more."""
        self.settle(moment)  # an error may have come between the rows of a book and this
        for channel in self:
            if channel.state is not ChannelState.REFUSED:
                channel.feed.lost(reason, moment)

    def _subscribe_again(self, channel: Channel, error: ChannelWrong, moment: Moment) -> None:
        self._observer.noted("{what}: {error}; subscribing again", what=str(channel.subscription), error=str(error))
        channel.resubscribe(error, moment)

    def _forget_if_gone(self, channel: Channel) -> None:
        if channel.gone:
            self._channels.pop(channel.subscription, None)


def _same_request(subscription: Subscription, echo: Mapping[str, Any]) -> bool:
    """Whether nothing in the answer contradicts the request. Not every field is always echoed: `freq` is missing in some."""
    asked = {"channel": subscription.channel, "symbol": subscription.symbol, **subscription.parameters}
    return all(str(echo.get(key, value)) == value for key, value in asked.items())
