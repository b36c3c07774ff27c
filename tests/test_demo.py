"""The exchange of `--demo` remembers what was recorded of it."""

import gzip
from pathlib import Path

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist import demo
from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.demo import demo_exchange, recorded
from bfxtwist.settings import feed, settings

NOW = 1_760_000_000
PAST = [
    Trade(26_000_000_000 + number, (NOW - 600 + number) * 1000, b"-0.5" if number % 2 else b"2.8e-7", b"6443.1")
    for number in range(40)
]


def whole_file(trades: list[Trade]) -> bytes:
    """A trade file of these."""
    return HEADER + b"".join(Layout("tBTCUSD").lines(Arrival(trade, NOW * 10**6) for trade in trades))


class DemoTests(SynchronousTestCase):
    """A second demo in the folder of the first."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp()) / "trade.csv"

    def record(self, trades: list[Trade]) -> None:
        self.file.parent.mkdir()
        self.file.write_bytes(whole_file(trades) + b"bitf")

    def test_what_was_recorded_is_read_as_it_was_told(self) -> None:
        """Amounts have their sign again, digits are as they were, and what is torn is left out."""
        self.record(PAST)
        self.assertEqual(recorded(self.file), PAST)

    def test_what_rotation_has_closed_is_remembered(self) -> None:
        """Without it, a start soon after a rotation would invent another past, and the recorder would write it down."""
        self.record([])
        names = "trade-2025-10-08.csv.gz", "trade-2025-10-09.csv.gz", "trade-2025-10-09-2.csv"
        for name, trades in zip(names, (PAST[:9], PAST[9:20], PAST[20:]), strict=True):
            data = whole_file(trades)
            self.file.with_name(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        another = self.file.parent / "ETH-USD"  # a pair's own folder, in that of a pair which was alone before
        another.mkdir()
        (another / "trade.csv").write_bytes(whole_file(PAST).replace(b"BTCUSD", b"ETHUSD"))
        self.assertEqual(recorded(self.file), PAST)
        self.file.unlink()
        self.assertEqual(recorded(self.file), PAST, "it may end between the rename and the new file")
        self.patch(demo, "_REMEMBERED", 25)
        self.assertEqual(recorded(self.file), PAST[-25:])

    def test_a_first_start_has_nothing_to_remember(self) -> None:
        self.assertEqual(recorded(self.file), [])

    def test_its_history_is_what_is_on_file(self) -> None:
        """Nothing else happened before the start, so that no recorder finds a hole, and ids go on growing.

        Pairs that were not recorded have an hour.
        """
        self.record(PAST)
        feeds = [
            feed(pair="BTC/USD", channel="trades", file_path=self.file.parent),
            feed(pair="ETH/USD", channel="book"),
        ]
        market = demo_exchange(Clock(), settings(feeds=feeds, demo=True)).market
        market.advance(NOW)
        self.assertEqual(market.tape("tBTCUSD").since(0), PAST)
        self.assertEqual(market.tape("tBTCUSD").snapshot(), PAST[:-31:-1])
        self.assertGreater(len(market.tape("tETHUSD").since((NOW - 3600) * 1000)), 100)
        market.advance(NOW + 60)
        after = market.tape("tBTCUSD").since(NOW * 1000)
        self.assertTrue(after and min(trade.id for trade in after) > PAST[-1].id)

    def test_it_can_stay_open_for_days(self) -> None:
        """What it keeps of a pair does not grow: neither the history, which is an hour's, nor a ledger for nobody."""
        market = demo_exchange(Clock(), settings(feeds=[feed(pair="BTC/USD", channel="book")], demo=True)).market
        market.advance(NOW)
        last = Trade(0, (NOW + 1) * 1000, b"1", b"6443.1")
        for number in range(20_000):
            market.tape("tBTCUSD").add(replace(last, id=10**12 + number), NOW + 1)
        for seconds in range(1, 60):
            market.advance(NOW + seconds)
        self.assertGreater(market.tape("tBTCUSD").snapshot()[0].mts, last.mts)
        self.assertLess(len(market.tape("tBTCUSD").since(0)), 16_501)
        self.assertEqual(market.ledger, {})
