"""A session and a scripted exchange, without sockets: what is said on either side and how time passes is the test's."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.channels import Tally
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Refused, Trade
from bfxtwist.core.moment import Moment
from bfxtwist.core.session import Session
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trade_feed import TradeFeed

BOOK = Subscription(ChannelName.BOOK, "tBTCUSD")
TRADES = Subscription(ChannelName.TRADES, "tBTCUSD")

#: The request for BOOK, where it is the first.
SUBSCRIBE = {"event": "subscribe", "channel": "book", "symbol": "tBTCUSD", "subId": "1"}
SUBSCRIBE |= {"prec": "P0", "freq": "F0", "len": "25"}

GREETING = {"event": "info", "version": 2, "serverId": "f9b8d150", "platform": {"status": 1}}
GRANTED = {"event": "conf", "status": "OK", "flags": 229376}

#: A book of two bids and two asks, as on the wire.
ROWS = "[[100,1,2],[99,2,0.5],[101,1,-1],[102,3,-4.5]]"
#: The CRC-32 of "100:2:101:-1:99:0.5:102:-4.5" as a signed integer.
CHECKSUM = -1183219669


class Tape:
    """A trade listener that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def snapshot(self, trades: list[Trade], moment: Moment) -> None:
        self.told.append(("snapshot", [trade.id for trade in trades]))

    def executed(self, trades: Sequence[Trade], confirmed: Sequence[bool], moment: Moment) -> None:
        self.told += [("tu" if again else "te", trade.id) for trade, again in zip(trades, confirmed, strict=True)]

    def lost(self, reason: str) -> None:
        self.told.append(("lost", reason))


class Conversation:
    """One session. `sent` is what it has sent, parsed; `happened` is everything that it told its observer."""

    def __init__(self, subscriptions: Iterable[Subscription] = (BOOK,)) -> None:
        self.now = 1000.0
        self.delay = 0.0
        self.seq = 0
        self.market = Market()
        self.sent: list[dict[str, Any]] = []
        self.happened: list[str] = []
        self.tally = Tally()
        wanted = list(subscriptions)
        for subscription in wanted:
            self.market.carry(subscription, self.moment)
        self.session = Session(self.market, wanted, self._sent, self, self.tally)

    # --- the session tells -------------------------------------------------------------------------------------

    def _sent(self, payload: bytes) -> None:
        self.sent.append(json.loads(payload))

    def noted(self, text: str, /, **fields: object) -> None:
        self.happened.append(text.format(**fields))

    def refused(self, subscription: Subscription, refusal: Refused) -> None:
        self.happened.append(f"refused {subscription} {refusal.code}")

    def displaced(self, subscription: Subscription) -> None:
        self.happened.append(f"displaced {subscription}")

    # --- the test tells ----------------------------------------------------------------------------------------

    @property
    def moment(self) -> Moment:
        return Moment(self.now, int(self.now * 1e6))

    @property
    def book(self) -> BookFeed:
        return self.market.books["tBTCUSD"]

    @property
    def trades(self) -> TradeFeed:
        return self.market.trades["tBTCUSD"]

    def hear(self, payload: bytes | str) -> None:
        """A text frame comes."""
        self.session.received([payload.encode() if isinstance(payload, str) else payload], self.moment)

    def event(self, event: dict[str, Any]) -> None:
        """An event comes."""
        self.hear(json.dumps(event, separators=(",", ":")))

    def frame(self, channel_id: int, body: str) -> None:
        """An array frame comes, with the next sequence number and a timestamp: it was sent `self.delay` seconds ago."""
        self.seq += 1
        sent = 1542045947738 + round((self.now - 1000 - self.delay) * 1000)
        self.hear(f"[{channel_id},{body},{self.seq},{sent}]")

    def advance(self, seconds: float, beats: Iterable[int] = ()) -> None:
        """Time passes, ticked each second; these channels' heartbeats come every 15 s."""
        for second in range(1, int(seconds) + 1):
            self.now += 1
            if second % 15 == 0:
                for channel_id in beats:
                    self.frame(channel_id, '"hb"')
            self.session.tick(self.moment)

    def taken(self) -> list[dict[str, Any]]:
        """What was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent

    def ready(self) -> "Conversation":
        """Hello and conf."""
        self.session.opened(self.moment)
        self.event(GREETING)
        self.event(GRANTED)
        return self

    def acknowledge(self, subscription: Subscription = BOOK, channel_id: int = 7, **more: Any) -> None:
        """`subscribed`, with what the exchange echoes."""
        asked = [m for m in self.sent if m["event"] == "subscribe" and m["symbol"] == subscription.symbol]
        echo = next(m for m in reversed(asked) if m["channel"] == subscription.channel)
        self.event({**echo, "event": "subscribed", "chanId": channel_id, "pair": subscription.symbol[1:], **more})

    def subscribed(self, channel_id: int = 7) -> None:
        """The book is acknowledged, and its snapshot comes."""
        self.acknowledge(channel_id=channel_id)
        self.frame(channel_id, ROWS)

    def unsubscribed(self, channel_id: int = 7) -> None:
        """The exchange has ended a channel, whether or not that was asked for."""
        self.event({"event": "unsubscribed", "status": "OK", "chanId": channel_id})

    def live(self) -> "Conversation":
        """As far as the snapshot of the one book, on channel 7."""
        self.ready()
        self.subscribed()
        self.taken()
        return self


def greeted() -> Conversation:
    """As far as the greeting; the answer to conf is due."""
    talk = Conversation()
    talk.session.opened(talk.moment)
    talk.event(GREETING)
    return talk


def conversation_with_trades() -> tuple[Conversation, Tape]:
    """A live book on channel 7 and live trades on channel 8, and who listens to the trades."""
    talk = Conversation([BOOK, TRADES])
    tape = Tape()
    talk.trades.listeners.append(tape)
    talk.ready()
    talk.acknowledge()
    talk.acknowledge(TRADES, 8)
    talk.frame(7, ROWS)
    talk.frame(8, "[[2,1542045947000,0.1,100],[1,1542045946000,-0.2,99]]")
    talk.taken()
    return talk, tape
