"""What a running daemon tells of a bad day at the exchange."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse

from bfxtwist.exchange.simulated import SimulatedMarket
from tests.running import RunningDaemon, WholeTest, books, recordings


class BadDay(WholeTest):
    async def told(self, running: RunningDaemon) -> dict[tuple[str, str], float]:
        """Values by name and the label that tells them apart here."""
        _, body = await running.get("/metrics")
        samples = [sample for family in parse(body.decode()) for sample in family.samples]
        apart = {"reason", "channel", "code"}
        return {(one.name, "".join(one.labels[name] for name in apart & set(one.labels))): one.value for one in samples}

    async def test_a_lost_sequence_number_and_wrong_checksums(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ["tBTCUSD"], rate=20))
        feeds = [*books("BTC/USD"), *recordings(Path(self.mktemp()), "BTC/USD")]
        running = await self.daemon(exchange, feeds)
        before = await self.told(running)
        self.assertEqual(before["bfxtwist_sequence_gaps_total", ""], 0)
        self.assertEqual(before["bfxtwist_feed_live", "book"], 1)

        exchange.faults.set("skip-seq")
        await self.until(lambda: running.uplink.ends.get("sequence"))
        await self.until(lambda: running.live)
        exchange.faults.set("wrong-cs")
        feed = running.market.books["tBTCUSD"]
        await self.until(lambda: feed.counts.checksums_mismatched)
        await self.until(lambda: running.live and feed.counts.resubscriptions)
        after = await self.told(running)
        self.assertEqual(after["bfxtwist_sequence_gaps_total", ""], 1)
        self.assertEqual(after["bfxtwist_reconnects_total", "sequence"], 1)
        self.assertGreaterEqual(after["bfxtwist_checksum_mismatches_total", "book"], 1)
        self.assertGreaterEqual(after["bfxtwist_resubscribes_total", "book"], 1)
        self.assertGreater(after["bfxtwist_trades_written_total", ""], 0)
        self.assertGreater(after["bfxtwist_messages_total", ""], before["bfxtwist_messages_total", ""])
        self.assertGreater(after["bfxtwist_http_requests_total", "200"], 0)
        self.assertEqual(before["bfxtwist_http_requests_total", "500"], 0, "an alert sees no increase of what is not there")
        self.assertEqual(after["bfxtwist_relay_connections", ""], 0)
