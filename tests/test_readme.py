"""The README's Python runs as it stands there, and what it and the other documents name exists."""

import json
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

import bfxtwist.bitfinex
from bfxtwist import Bitfinex, service
from bfxtwist.__main__ import main
from bfxtwist.core.feed_state import FeedState
from bfxtwist.exchange.options import Options as ExchangeOptions
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.options import Options
from bfxtwist.settings import feed
from tests.running import ROOT, WholeTest, ids, reactor

README = (ROOT / "README.md").read_text()

#: Everything that is written by hand for people.
DOCUMENTS = {path: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}

#: Options of other people's programs: curl, systemctl, systemd-analyze, systemd-socket-activate, uv, pipx.
FOREIGN = {"unix-socket", "now", "fdname", "with", "preinstall"}


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

    async def test_the_book_that_it_shows_is_like_one_that_is_served(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tETHUSD",)))
        running = await self.daemon(exchange, [feed(pair="ETH/USD", channel="book")])
        [shown] = re.findall(r"^\$ curl 'localhost:8080(.*?)'\n(.*?)```", README, re.MULTILINE | re.DOTALL)
        code, body = await running.get(shown[0])
        served, written = json.loads(body), json.loads(shown[1])
        self.assertEqual((code, list(served)), (200, list(written)))
        for side in ("bids", "asks"):
            self.assertEqual([len(level) for level in served[side]], [len(level) for level in written[side]])

    def test_the_table_of_requests_is_that_of_the_server(self) -> None:
        rows = re.findall(r"^\| (`.*?`) \|(.*)\|$", README.split("| request |")[1].split("\n\n")[0], re.MULTILINE)
        named = {path for row, _ in rows for path in re.findall(r"`(?:GET )?(/[^`]*)`", row)} - {"/", "/ws/2"}
        served = json.loads((ROOT / "bfxtwist" / "out" / "openapi.json").read_text())["paths"]
        self.assertEqual(named, set(served) - {"/"})
        for row, text in rows:
            for path in re.findall(r"`GET (/[a-z]+)`", row):
                known = {parameter.get("name", "pair") for parameter in served[path]["get"].get("parameters", ())}
                self.assertLessEqual(set(re.findall(r"`\?(\w+)=", text)), known, path)

    def test_every_document_is_linked(self) -> None:
        for path in (ROOT / "docs").glob("*.md"):
            self.assertIn(f"](docs/{path.name})", README)

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


class Documents(SynchronousTestCase):
    def test_the_options_that_they_name_exist(self) -> None:
        ours = [Options(environ={}), ExchangeOptions(), ServerOptions()]
        known = {option.rstrip("=") for options in ours for option in options.longOpt} | FOREIGN
        for command in ("verify", "merge", "sort"):
            printed = StringIO()
            self.patch(sys, "stdout", printed)
            self.assertRaises(SystemExit, main, [command, "--help"])
            known |= set(re.findall(r"--([a-z-]+)", printed.getvalue()))
        for path, text in DOCUMENTS.items():
            if path.name not in ("performance.md", "reliability.md"):  # these speak of other programs, too
                self.assertLessEqual(set(re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])", text)), known, path.name)

    def test_the_test_that_is_shown_is_one(self) -> None:
        [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "exchange.md").read_text(), re.DOTALL)
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "test_shown.py").write_text(code)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
        command = [sys.executable, "-m", "twisted.trial", "test_shown"]
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        self.assertIn("PASSED (successes=1)", run.stdout, run.stdout + run.stderr)

    def test_their_links_lead_somewhere(self) -> None:
        for path, text in DOCUMENTS.items():
            for target in re.findall(r"\]\(([^)\s:]+)\)", text):
                name, _, anchor = target.partition("#")
                there = (path.parent / name).resolve() if name else path
                self.assertTrue(there.exists(), f"{path.name}: {target}")
                if anchor:
                    self.assertIn(anchor, _anchors(there.read_text()), f"{path.name}: {target}")


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
