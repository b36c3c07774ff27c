"""The whole program with a tiny limit of size: many parts, each trade once, and readers who do not notice."""

import gzip
import json
from pathlib import Path

from bfxtwist.core.trade_rows import HEADER
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.files.recording import recordings as recordings_in
from bfxtwist.files.verify import verify
from tests.running import WholeTest, recordings
from tests.truth import judge


class Rotated(WholeTest):
    async def test_parts_of_a_running_daemon(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",), rate=30))
        folder = Path(self.mktemp())
        running = await self.daemon(exchange, recordings(folder, "BTC/USD"), rotate="1kB")
        before: list[int] = []
        while len(list(folder.glob("trade-*.csv.gz"))) < 4:
            code, body = await running.get("/trades?limit=20")
            self.assertEqual(code, 200)
            ids = [int(one["id"]) for one in json.loads(body)["trades"]]
            self.assertEqual((len(ids), sorted(set(ids))), (20, ids))
            self.assertGreaterEqual(ids, before, "readers see what was there before a rotation after it, too")
            before = ids
        self.assertIsNone(running.daemon.recorders.not_ready())
        await running.daemon.stopService()
        self.assertEqual(running.ended, [])
        [recording] = recordings_in([folder])
        self.assertEqual(recording.parts[-1].name, "trade.csv")
        self.assertTrue(verify(recording).clean, verify(recording).findings)
        whole = self.whole(recording.parts)
        verdict = judge(exchange.ledger["tBTCUSD"], whole, before=self.newest(whole))
        self.assertTrue(verdict.equal, verdict)

    def whole(self, parts: tuple[Path, ...]) -> Path:
        """All parts in one file; each begins with the header."""
        contents = [gzip.decompress(part.read_bytes()) if part.suffix == ".gz" else part.read_bytes() for part in parts]
        self.assertEqual([content[: len(HEADER)] for content in contents], [HEADER] * len(contents))
        path = Path(self.mktemp())
        path.write_bytes(HEADER + b"".join(content[len(HEADER) :] for content in contents))
        return path

    def newest(self, path: Path) -> int:
        """The time of the last row, ms: what came after the stop is not asked for."""
        return int(path.read_text().splitlines()[-1].split(",")[2]) // 1000
