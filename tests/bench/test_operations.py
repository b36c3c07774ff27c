"""What is called and run for a message: numbers that no machine changes, and that show a slide.

What came together is decoded together: of an update, only the book hears by itself. Were one of the layers between the
socket and the book to go back to single messages, there would be three to ten calls for each. A loop over the levels of a
book shows in the instructions, and a number that is formatted anew in what is called of C. What C itself does does not show.
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


def operations(work: Callable[[], object]) -> Counter[str]:
    """How many functions in Python ("call") and in C ("c_call") are called, and how many instructions run ("opcode").

    Comprehensions and generators are calls, too, unless the Python at hand makes them part of the function.
    """
    counted: Counter[str] = Counter()

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        counted[event] += 1

    def step(_frame: FrameType, event: str, _argument: object) -> Any:
        counted[event] += event == "opcode"
        return step

    def enter(frame: FrameType, _event: str, _argument: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return step

    traced = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks only when tracing begins whether a frame asks for them
    sys.settrace(enter)
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        sys.settrace(traced)
    return counted


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
    """Calls and instructions for each message."""

    def assert_at_most(self, counted: Counter[str], calls: float, c_calls: float, instructions: float) -> None:
        found = [counted[event] / MESSAGES for event in ("call", "c_call", "opcode")]
        for each, most in zip(found, (calls, c_calls, instructions), strict=True):
            self.assertTrue(0 < each < most, found)

    def test_books(self) -> None:
        for pairs, levels in ((1, 25), (1, 250), (25, 25)):
            live = Live(Workload("book", pairs=pairs, levels=levels, messages=MESSAGES))
            counted = operations(live.take_in)
            self.assertEqual(sum(feed.counts.frames for feed in live.market.books.values()), MESSAGES + pairs)
            self.assert_at_most(counted, calls=2, c_calls=7, instructions=160)

    def test_trades(self) -> None:
        live = Live(Workload("trades", channel="trades", messages=MESSAGES))
        tape = Tape(KnownIds(), Progress())
        tape.snapshot(live.market.trades["tBTCUSD"].latest, NOW)
        live.market.trades["tBTCUSD"].listeners.append(_Recorder(tape))
        counted = operations(live.take_in)
        self.assertEqual(len(tape.released()), 30 + MESSAGES // 2)
        self.assert_at_most(counted, calls=0.8, c_calls=6, instructions=115)


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
