"""Items are what the exchange's frames have between channel id and sequence number, in the exchange's own digits."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import Trade
from bfxtwist.exchange.venue import HEARTBEAT, Kind, Limits, checksum, confirmed, executed, snapshot, update

DOCUMENT = Path(__file__).parents[2] / "docs" / "exchange.md"

TRADE = Trade(401597395, 1574694478808, b"-0.005", b"7e-7")
ROW = b"[401597395,1574694478808,-0.005,7e-7]"


class ItemsTest(SynchronousTestCase):
    def test_each_as_it_is_documented(self) -> None:
        """(docs ws-public-books, ws-public-trades, ws-websocket-checksum, ws-general)"""
        for item, kind, body in (
            (snapshot([(b"7e-7", b"1", b"2.50"), (b"8e-7", b"3", b"-1")]), Kind.SNAPSHOT, b"[[7e-7,1,2.50],[8e-7,3,-1]]"),
            (snapshot([]), Kind.SNAPSHOT, b"[]"),
            (update((b"7e-7", b"0", b"-1")), Kind.UPDATE, b"[7e-7,0,-1]"),
            (checksum(-1234567), Kind.CHECKSUM, b'"cs",-1234567'),
            (executed(TRADE), Kind.EXECUTED, b'"te",' + ROW),
            (confirmed(TRADE), Kind.CONFIRMED, b'"tu",' + ROW),
            (HEARTBEAT, Kind.HEARTBEAT, b'"hb"'),
        ):
            self.assertEqual(item, (kind, body))


class LimitsTest(SynchronousTestCase):
    def test_they_are_those_of_the_document(self) -> None:
        limits = Limits()
        channels = f"{limits.channels} channels a connection; one without a channel is cut after {limits.idle_seconds:g} s"
        self.assertIn(f"heartbeats each {limits.heartbeat_seconds:g} s; {channels} without", DOCUMENT.read_text())
