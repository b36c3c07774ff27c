"""A book is verified or says that it is not: what is corrupt at a checksum is seen in the turn of that checksum.

The exchange's conversation and the daemon's session talk in memory; in between, frames are bent. A plain dict that gets
the frames as they were is the truth.
"""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book import CHECKSUM_DEPTH
from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.channels import Tally
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Refused
from bfxtwist.core.moment import Moment
from bfxtwist.core.session import Session
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.conversation import Conversation
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits

SEED = 20261122
CORRUPTIONS = 500
UPDATES = 200_000

BOOK = Subscription(ChannelName.BOOK, "tBTCUSD")

Row = tuple[str, str, str]  # price, count, amount


class Line:
    """A connection on which frames can be bent. `moment` is the market's time."""

    def __init__(self, venue: SimulatedMarket, random: Random, moment: Moment, channel_id: int) -> None:
        self.random = random
        self.moment = moment
        self.choked = False
        self.truth: dict[str, Row] = {}
        self.bend: Callable[[Row], Row | None] | None = None  # the next update; None is its loss
        self.mismatches_missed = 0
        self.matched = 0
        self._waiting: list[bytes] = []
        self._countdown = 0
        self._market = Market()
        self._market.carry(BOOK, moment)
        self._venue = Conversation(
            venue, self, new_channel_id=lambda: channel_id, now=lambda: moment.wall // 1000, limits=Limits()
        )
        self._session = Session(self._market, [BOOK], self._venue.received, self, Tally())
        self._session.opened(moment)
        self._venue.begin("a test")
        self.deliver()

    @property
    def feed(self) -> BookFeed:
        return self._market.books[BOOK.symbol]

    @property
    def right(self) -> bool:
        """Whether the book is as it should be, so far as a checksum covers it: the first levels, and not their counts."""
        book = self.feed.book
        held = [*book.bids.rows[:CHECKSUM_DEPTH], *book.asks.rows[:CHECKSUM_DEPTH]]
        truth = {(price, amount) for price, _, amount in self.truth.values()}
        return {(row[0].decode(), row[2].decode()) for row in held} == truth

    # --- the exchange's socket ----------------------------------------------------------------------------------

    def send(self, texts: Sequence[bytes]) -> None:
        """Keep what the exchange sends until it is delivered."""
        self._waiting += texts

    # --- what the session tells -----------------------------------------------------------------------------------

    def noted(self, text: str, /, **fields: object) -> None:
        """Nothing of interest."""

    def refused(self, subscription: Subscription, refusal: Refused) -> None:
        raise AssertionError(refusal)

    def displaced(self, subscription: Subscription) -> None:
        raise AssertionError(subscription)

    # --- frames ---------------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Hand the session what is waiting."""
        self._choose()
        while self._waiting:
            text = self._waiting.pop(0)
            self._countdown -= 1
            frame = json.loads(text, parse_float=str, parse_int=str) if text.startswith(b"[") else None
            checksum = frame is not None and frame[1] == "cs"
            self._session.received([self._bent(text, frame)], self.moment)
            if checksum:
                self._compare()

    def _choose(self) -> None:
        """Bend one of the updates between two checksums; of a batch with one, so late that few are set right before it."""
        before = [at for at, text in enumerate(self._waiting) if b',"cs",' in text]
        self._countdown = self.random.randrange(before[0]) if before and before[0] else len(self._waiting)

    def _bent(self, text: bytes, frame: Any) -> bytes:
        """The frame as it is to arrive; the truth gets it as it was."""
        match frame:
            case [_, [[*_], *_] as rows, *_]:
                self.truth = {row[0]: tuple(row) for row in rows}
            case [channel_id, [str(price), str(count), str(amount)], seq, timestamp]:
                self._happen((price, count, amount))
                if self.bend is not None and self._countdown < 0:
                    row, self.bend = self.bend((price, count, amount)), None
                    body = '"hb"' if row is None else f"[{','.join(row)}]"
                    return f"[{channel_id},{body},{seq},{timestamp}]".encode()
        return text

    def _happen(self, row: Row) -> None:
        self.truth.pop(row[0], None)
        if row[1] != "0":
            self.truth[row[0]] = row

    def _compare(self) -> None:
        """A checksum was taken in, in this very turn: the book is live exactly if it is right."""
        live = self.feed.status_now is FeedState.LIVE
        self.mismatches_missed += live and not self.right
        self.matched += live and self.right

    def tick(self) -> None:
        self._session.tick(self.moment)

    def close(self) -> None:
        self._venue.end()


def _digit(token: str, random: Random) -> str:
    """Another digit in one place."""
    places = [at for at, character in enumerate(token) if character.isdecimal()]
    at = random.choice(places)
    return token[:at] + random.choice([digit for digit in "123456789" if digit != token[at]]) + token[at + 1 :]


def _benders(random: Random) -> list[Callable[[Row], Row | None]]:
    """What may become of an update on its way. A count is in no checksum, but for whether it is 0."""
    return [
        lambda row: (row[0], row[1], _digit(row[2], random)),
        lambda row: (_digit(row[0], random), *row[1:]),
        lambda row: (row[0], row[1], row[2].removeprefix("-") if row[2].startswith("-") else "-" + row[2]),
        lambda row: (row[0], "0" if row[1] != "0" else "1", row[2]),
        lambda row: None,
    ]


class Corruptions(SynchronousTestCase):
    def test_all_are_seen(self) -> None:
        """After each that was seen a new connection begins, with a right book."""
        self.random = random = Random(SEED)
        self.venue = SimulatedMarket(SEED, [BOOK.symbol])
        self.now = 1_542_045_947.0
        seen = updates = healed = connections = 0
        while seen < CORRUPTIONS or updates < UPDATES:
            connections += 1
            line = self.connected(connections)
            self.until_matched(line, random.randint(1, 2))
            line.bend = random.choice(_benders(random)) if seen < CORRUPTIONS else None
            noticed = self.until_noticed(line, 3)
            self.assertEqual(line.mismatches_missed, 0, f"after {seen} corruptions a wrong book was live at its checksum")
            seen += noticed
            healed += not noticed
            updates += line.feed.counts.updates
            line.close()
        self.assertGreater(seen, healed, "most corruptions stand until the checksum")

    def connected(self, channel_id: int) -> Line:
        self.venue.advance(self.now)
        line = Line(self.venue, self.random, Moment(self.now, int(self.now * 1e6)), channel_id)
        self.assertIs(line.feed.state, FeedState.LIVE)
        self.assertTrue(line.right)
        return line

    def advance(self, line: Line) -> None:
        self.now += 0.25
        line.moment = Moment(self.now, int(self.now * 1e6))
        self.venue.advance(self.now)
        line.deliver()
        line.tick()

    def until_matched(self, line: Line, times: int) -> None:
        while line.matched < times:
            self.advance(line)
        self.assertEqual((line.feed.counts.checksums_mismatched, line.mismatches_missed), (0, 0))

    def until_noticed(self, line: Line, checksums: int) -> bool:
        """Whether the book was given up before so many checksums agreed. It comes back on the same connection."""
        enough = line.matched + checksums
        while not line.feed.counts.resubscriptions and line.matched < enough:
            self.advance(line)
        return bool(line.feed.counts.resubscriptions)
