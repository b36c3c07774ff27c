"""A believable market made from a seed, with a ledger of every trade that it made.

What it does is what was seen of the exchange: books in batches every 100 to 250 ms, checksums every 2.5 s and only after a
change, several trades in one millisecond, `te` at once and in order, `tu` some time later, out of order, and one in five
hundred never. Time comes in as an argument, in seconds since the epoch; `rate` makes the same market live faster.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from pathlib import Path
from random import Random

from bfxtwist.core.messages import ChannelName, Row, Trade
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.audience import Audience
from bfxtwist.exchange.faults import Faults
from bfxtwist.exchange.ledger import Ledger
from bfxtwist.exchange.numbers import token
from bfxtwist.exchange.pairs import AMOUNT_DECIMALS, model_of
from bfxtwist.exchange.tape import HISTORY_LENGTH, Tape
from bfxtwist.exchange.traders import Execution, Traders
from bfxtwist.exchange.venue import Item, Reader, checksum, confirmed, executed, snapshot, update
from bfxtwist.exchange.views import View

#: Seconds between two batches, and how short that may get when the rate grows: from there on batches grow instead.
_BATCH = 0.1, 0.25
_SHORTEST_BATCH = 0.005

#: Events of a pair per second: about forty rows of a book of 25 levels.
_EVENTS = 60.0

_CHECKSUM = 2.4, 2.8
_SLOW_BOOK = 2.0  # F1 (docs ws-public-books)

#: The past that there is when the market opens.
_PAST_SECONDS = 3600.0
_PAST_STEPS = 240

#: A market that was held up does not make up for more than this.
_LONGEST_DELAY = 1.0


class _Pair:
    """One pair: its traders, its tape, and what its readers were told of the book."""

    def __init__(self, symbol: str, random: Random, new_order_id: Callable[[], int], tape: Tape) -> None:
        self.traders = Traders(model_of(symbol), random, new_order_id)
        self.tape = tape
        self.trades = Subscription(ChannelName.TRADES, symbol)
        self.views: dict[Subscription, View] = {}
        self.next_batch = 0.0


class SimulatedMarket:
    """A venue. Two with the same seed, pairs and rate make the same trades, whoever reads them and since when.

    Ids and times begin with the moment of the start. Where readers are the same, too, they are told the same, byte for byte.
    """

    def __init__(
        self,
        seed: int = 7,
        pairs: Iterable[str] = ("tBTCUSD",),
        *,
        rate: float = 1.0,
        faults: Faults | None = None,
        ledger: Path | None = None,
        past: Mapping[str, Sequence[Trade]] | None = None,
        history: int = HISTORY_LENGTH,
    ) -> None:
        """`past` has the trades by symbol that there were before; of others there is made an hour. `history` is in trades.

        Raises ValueError for what is not a symbol.
        """
        self._random = Random(seed)
        # What readers draw is drawn apart: the market is not another one for having been looked at.
        self._telling = Random(f"{seed} telling")
        self.faults = faults or Faults(Random(seed))
        self.ledger = Ledger(ledger)
        self.rate = rate
        self._past = past or {}
        self._audience = Audience()
        self._order_id = 0
        self._trade_id = 0
        self._now = 0.0
        self._unconfirmed: list[tuple[float, int, str, Trade]] = []
        self._pairs = {
            symbol: _Pair(symbol, Random(f"{seed} {symbol}"), self._new_order_id, Tape(self.faults, history))
            for symbol in pairs
        }

    # --- a venue --------------------------------------------------------------------------------------------

    @property
    def symbols(self) -> list[str]:
        """What is traded here."""
        return list(self._pairs)

    def refuses(self, subscription: Subscription) -> str | None:
        """Why there can be no such subscription."""
        return None if subscription.symbol in self._pairs else "symbol: invalid"

    def open(self, subscription: Subscription, reader: Reader) -> Item:
        """A snapshot; `reader` is told what comes after it."""
        pair = self._pairs[subscription.symbol]
        self._audience.join(subscription, reader)
        if subscription.channel is ChannelName.TRADES:
            return snapshot(trade.row for trade in pair.tape.snapshot())
        view = pair.views.get(subscription)
        if view is None:
            view = pair.views[subscription] = View(subscription, *self.sides(subscription))
            view.checksum_due = self._now + self._next_checksum()
        return snapshot(view.rows)

    def close(self, subscription: Subscription, reader: Reader) -> None:
        """Tell `reader` no more."""
        self._audience.leave(subscription, reader)
        if subscription not in self._audience:
            self._pairs[subscription.symbol].views.pop(subscription, None)

    def tape(self, symbol: str) -> Tape:
        """The trades of a symbol. Raises KeyError."""
        return self._pairs[symbol].tape

    def sides(self, subscription: Subscription) -> tuple[list[Row], list[Row]]:
        """Bids and asks as they are now."""
        traders = self._pairs[subscription.symbol].traders
        length = subscription.length
        shape = self.faults.word("book")
        if shape == "empty":
            return [], []
        if shape == "thin":
            length = min(length, 3)
        bids = traders.bids.rows(subscription.precision, length)
        return bids, [] if shape == "one-sided" else traders.asks.rows(subscription.precision, length)

    def stop(self) -> None:
        """The exchange is closed."""
        self.ledger.close()

    # --- time -----------------------------------------------------------------------------------------------

    def advance(self, now: float) -> float:
        """Everything that happens until `now`. Seconds until more does."""
        if not self._now:
            self._open_for_business(now)
        while (due := self._next_due()) <= now:
            self._now = due
            self._confirm(due)
            for symbol, pair in self._pairs.items():
                if pair.next_batch <= due:
                    self._batch(symbol, pair, max(due, now - _LONGEST_DELAY))
        self._now = now
        return max(0.0, self._next_due() - now)

    def _next_due(self) -> float:
        batch = min(pair.next_batch for pair in self._pairs.values())
        return min(batch, self._unconfirmed[0][0]) if self._unconfirmed else batch

    def _open_for_business(self, now: float) -> None:
        """There were trades before: the snapshot has thirty of them, and the history an hour."""
        # Ids go on growing when the exchange is started again.
        known = [trade.id for trades in self._past.values() for trade in trades]
        self._trade_id = max([int((now - 1_500_000_000) * 100), *known])
        for symbol, trades in self._past.items():
            for trade in trades:
                self._pairs[symbol].tape.add(trade, trade.mts / 1000)
        for step in range(_PAST_STEPS):
            moment = now - _PAST_SECONDS * (1 - step / _PAST_STEPS)
            for symbol, pair in self._pairs.items():
                trades = self._trades(pair, pair.traders.step(20), moment)
                for trade in () if self._past.get(symbol) else trades:
                    self.ledger.record(symbol, trade)
                    pair.tape.add(trade, moment)
        for pair in self._pairs.values():
            pair.next_batch = now + self._random.uniform(*_BATCH) / self.rate

    def _batch(self, symbol: str, pair: _Pair, now: float) -> None:
        """Tell of the book, and let things happen until the next time: a book lags its trades (bitfinex-api-node #440)."""
        for view in list(pair.views.values()):
            self._tell(view, now)
        nominal = self._random.uniform(*_BATCH) / self.rate
        interval = max(nominal, _SHORTEST_BATCH)
        pair.next_batch = now + interval
        if "quiet" in self.faults:
            return
        pair.traders.tiny = "exponents" in self.faults
        trades = self._trades(pair, pair.traders.step(_EVENTS * self.rate * interval), now)
        for trade in trades:
            self.ledger.record(symbol, trade)
            pair.tape.add(trade, now)
            self._confirm_later(symbol, trade, now)
        self._audience.publish(pair.trades, [executed(trade) for trade in trades])

    # --- the book -------------------------------------------------------------------------------------------

    def _tell(self, view: View, now: float) -> None:
        subscription = view.subscription
        if now < view.due:
            return
        if subscription.frequency == "F1":
            view.due = now + _SLOW_BOOK
        items = [update(row) for row in self._with_second_thoughts(view.refresh(*self.sides(subscription)))]
        if view.changed and now >= view.checksum_due:
            view.checksum_due = now + self._next_checksum()
            items.append(checksum(view.checksum()))
        self._audience.publish(subscription, items)

    def _with_second_thoughts(self, rows: list[Row]) -> list[Row]:
        """Sometimes a level is set twice in one batch (seen in 2018, 2021 and 2023)."""
        if not rows or rows[-1][1] == b"0" or self._telling.random() > 0.1:
            return rows
        first = (*rows[-1][:2], b"-0.5" if rows[-1][2].startswith(b"-") else b"0.5")
        return [*rows[:-1], first, rows[-1]]

    def _next_checksum(self) -> float:
        return self._telling.uniform(*_CHECKSUM) / min(max(self.rate, 1.0), 25.0)

    # --- the trades -----------------------------------------------------------------------------------------

    def _trades(self, pair: _Pair, executions: Iterable[Execution], now: float) -> list[Trade]:
        decimals = pair.traders.model.decimals
        return [
            Trade(self._new_trade_id(), int(now * 1000), token(amount, AMOUNT_DECIMALS), token(price, decimals))
            for amount, price in executions
        ]

    def _new_trade_id(self) -> int:
        """Ids are global: between two trades of one pair there may be those of others."""
        self._trade_id += self._random.choice((1, 1, 1, 2, 9))
        return self._trade_id

    def _confirm_later(self, symbol: str, trade: Trade, now: float) -> None:
        chance = self._random.random()
        if chance < 0.002:
            return  # 8 of 4,473 never came
        delay = self._random.uniform(0.03, 0.05) if chance < 0.95 else self._random.uniform(0.05, 1.5)
        heappush(self._unconfirmed, (now + delay, trade.id, symbol, trade))

    def _confirm(self, now: float) -> None:
        while self._unconfirmed and self._unconfirmed[0][0] <= now:
            _, _, symbol, trade = heappop(self._unconfirmed)
            self._audience.publish(self._pairs[symbol].trades, [confirmed(trade)])

    def _new_order_id(self) -> int:
        self._order_id += self._random.randint(1, 5)
        return 60_000_000_000 + self._order_id
