"""How many functions of ours are called for a message: a number that no machine changes, and that shows a slide.

What came together is decoded together: of an update, only the book hears by itself. Were one of the layers between the
socket and the book to go back to single messages, there would be three to ten calls for each.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.channels import Tally
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Refused, Trade
from bfxtwist.core.moment import Moment
from bfxtwist.core.progress import Progress
from bfxtwist.core.session import Session
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trades import Tape
from bfxtwist.feed.fast_frames import leading_texts
from tests.bench.exchange_side import TEXT, frame
from tests.bench.script import Script, Workload, script

MESSAGES = 5000

#: Frames in one segment of 64 KiB, or so.
SEGMENT = 1000

NOW = Moment(1.0, 1)


def calls_of_ours(work: Callable[[], object]) -> int:
    """How many functions written in Python are called, comprehensions and generators included."""
    counted: Counter[str] = Counter()

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        counted[event] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted["call"]


class Live:
    """A session whose channels are live, and the segments that come next."""

    def __init__(self, workload: Workload) -> None:
        made = script(workload)
        self.market = Market()
        self.sent: list[dict[str, Any]] = []
        wanted = [Subscription(ChannelName(workload.channel), symbol) for symbol in workload.symbols]
        for subscription in wanted:
            self.market.carry(subscription, NOW)
        self.session = Session(self.market, wanted, self._send, self, Tally())
        self.session.opened(NOW)
        self.hear({"event": "info", "version": 2, "platform": {"status": 1}})
        self.hear({"event": "conf", "status": "OK", "flags": 229376})
        self.segments = self._subscribed(made)

    def _subscribed(self, made: Script) -> list[bytes]:
        ids = {}
        for seq, request in enumerate((one for one in self.sent if one["event"] == "subscribe"), 1):
            ids[request["symbol"]] = 1000 + seq
            self.hear({**request, "event": "subscribed", "chanId": 1000 + seq})
            self.session.received([b"[%d,%b,%d,1]" % (1000 + seq, made.snapshots[request["symbol"]], seq)], NOW)
        bodies = enumerate(made.bodies, len(ids) + 1)
        frames = [frame(TEXT, b"[%d,%b,%d,1]" % (ids[symbol], body, seq)) for seq, (symbol, body) in bodies]
        return [b"".join(frames[at : at + SEGMENT]) for at in range(0, len(frames), SEGMENT)]

    def _send(self, text: bytes) -> None:
        self.sent.append(json.loads(text))

    def hear(self, event: dict[str, Any]) -> None:
        self.session.received([json.dumps(event).encode()], NOW)

    def take_in(self) -> None:
        """Every segment, as the protocol does."""
        for segment in self.segments:
            self.session.received(leading_texts(segment), NOW)

    def noted(self, text: str, /, **fields: object) -> None:
        raise AssertionError(text.format(**fields))

    def refused(self, subscription: Subscription, refusal: Refused) -> None:
        raise AssertionError(refusal.text)

    def displaced(self, subscription: Subscription) -> None:
        raise AssertionError(subscription)


class Operations(SynchronousTestCase):
    """Calls for each message."""

    def test_books(self) -> None:
        for pairs, most in ((1, 2), (25, 2.2)):
            live = Live(Workload("book-25", pairs=pairs, messages=MESSAGES))
            calls = calls_of_ours(live.take_in)
            self.assertEqual(sum(feed.counts.frames for feed in live.market.books.values()), MESSAGES + pairs)
            self.assertLess(calls / MESSAGES, most)

    def test_trades(self) -> None:
        live = Live(Workload("trades", channel="trades", messages=MESSAGES))
        tape = Tape(KnownIds(), Progress())
        tape.snapshot(live.market.trades["tBTCUSD"].latest, NOW)
        live.market.trades["tBTCUSD"].listeners.append(_Recorder(tape))
        calls = calls_of_ours(live.take_in)
        self.assertEqual(len(tape.released()), 30 + MESSAGES // 2)
        self.assertLess(calls / MESSAGES, 0.8)


class _Recorder:
    """What a recorder does with trades before they are written."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def snapshot(self, trades: list[Trade], moment: Moment) -> None:
        self.tape.snapshot(trades, moment)

    def executed(self, trades: Sequence[Trade], confirmed: Sequence[bool], moment: Moment) -> None:
        self.tape.executed(trades, moment)

    def lost(self, reason: str) -> None:
        self.tape.lost(reason)
