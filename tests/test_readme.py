"""The README's Python runs as it stands there, and what it names exists."""

import re
from pathlib import Path
from typing import Any

import bfxtwist.bitfinex
from bfxtwist import Bitfinex, service
from bfxtwist.core.feed_state import FeedState
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.options import Options
from tests.running import ROOT, WholeTest, ids, reactor

README = (ROOT / "README.md").read_text()


class Readme(WholeTest):
    async def test_its_python_runs_as_written(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",)))
        defaults: dict[str, Any] = dict(Bitfinex.__init__.__kwdefaults__ or {})
        here = {**defaults, "ws_url": exchange.ws_url, "rest_url": exchange.rest_url}
        self.patch(Bitfinex.__init__, "__kwdefaults__", here)
        given: list[Bitfinex] = []
        self.patch(bfxtwist.bitfinex, "run", lambda *feeds: given.extend(feeds))  # it would start a second reactor
        [code] = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "Bitfinex(" in block]
        folder = Path(self.mktemp())
        exec(compile(code.replace("data/", f"{folder}/"), "README.md", "exec"), {})
        daemon = service(*given, listen="tcp:0:interface=127.0.0.1", reactor=reactor)
        daemon.startService()
        self.addCleanup(daemon.stopService)
        await self.until(lambda: all(feed.status is FeedState.LIVE for feed in given))
        await self.until(lambda: ids(folder / "trade.csv"))

    def test_the_links_and_the_map_lead_somewhere(self) -> None:
        linked = re.findall(r"\]\(([^)#:]+)\)", README)
        named = [*linked, *re.findall(r"^\| `((?:bfxtwist|tests|docs)/[^`]*)` \|", README, re.MULTILINE)]
        self.assertGreater(len(named), 12)
        for path in named:
            self.assertTrue((ROOT / path).exists(), path)

    def test_the_commands_are_understood(self) -> None:
        lines = re.findall(r"^twistd -n (?:--pidfile= )?bfx (.*?)(?:  +#.*)?$", README, re.MULTILINE)
        self.assertGreaterEqual(len(lines), 3)
        for line in lines:
            Options(environ={}).parseOptions(line.split())

    def test_the_make_targets_exist(self) -> None:
        makefile = (ROOT / "Makefile").read_text()
        for target in re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE):
            self.assertRegex(makefile, rf"(?m)^{target}:")
