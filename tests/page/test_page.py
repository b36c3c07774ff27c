"""The page in a real browser: what a person sees, does, and is warned of."""

import json
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.trial.unittest import TestCase

from bfxtwist.app import now
from bfxtwist.core.messages import Trade
from tests.page import browser
from tests.page.browser import Browser
from tests.page.served import ServedPage

reactor: Any = _reactor

NO_NUMBER = "\N{EN DASH}"

_LADDER = """Object.fromEntries(["asks", "bids"].map((side) => [side, [...document.getElementById(side).rows]
    .map((row) => [...row.cells].map((cell) => cell.textContent)).filter(([price]) => price)]))"""

_MIDDLE = "document.getElementById('ladder-spread').parentNode.getBoundingClientRect().top"
_STATE = "document.documentElement.dataset.state"


class _BelowAPath(ProxyServer):
    """A connection through a proxy that serves the daemon below `/bfx/`, and something else beside it."""

    def dataReceived(self, data: bytes) -> None:
        """A request in one piece, or what comes on a WebSocket."""
        super().dataReceived(data.replace(b"GET /", b"GET /elsewhere/").replace(b"GET /elsewhere/bfx/", b"GET /"))


class PageTest(TestCase):
    """The page of a daemon on an exchange of its own."""

    timeout = 120
    skip = browser.missing()

    async def page(self, path: str = "/", live: bool = True, **options: Any) -> None:
        """A daemon, and a browser that looks at it."""
        self.served = ServedPage(**options)
        self.addCleanup(self.served.stop)
        await self.served.start()
        profile = Path(self.mktemp())
        profile.mkdir(parents=True)
        self.browser = Browser(reactor, profile)
        self.addCleanup(self.browser.stop)
        await self.browser.start()
        await self.browser.get(self.served.url + path)
        if live:
            await self.becomes(_STATE, "live")

    async def becomes(self, expression: str, value: Any) -> None:
        """Wait until it is so; the test's timeout is the limit."""
        while (await self.browser.js(expression)) != value:
            await deferLater(reactor, 0.05, lambda: None)

    async def quiet(self) -> None:
        """Nothing happens at the exchange any more, and what has happened is drawn."""
        self.served.faults.set("quiet")
        await deferLater(reactor, 1.0, lambda: None)

    async def assert_no_complaints(self) -> None:
        """Nothing was written to the console."""
        self.assertEqual(await self.browser.complaints(), [])


class NumbersTest(PageTest):
    """What is shown."""

    async def test_book_is_the_daemons(self) -> None:
        """Every digit of `GET /book`, the totals, the middle; and nobody complains."""
        await self.page("/?rows=25")
        await self.quiet()
        response = await treq.get(f"{self.served.url}/book", persistent=False)
        rows = self.served.market.books["tBTCUSD"].book
        self.assertEqual((await response.json())["status"], "live")
        shown = await self.browser.js(_LADDER)
        bids = [[row[0].decode(), row[2].decode()] for row in rows.bids.rows]
        asks = [[row[0].decode(), row[2].decode().lstrip("-")] for row in rows.asks.rows]
        self.assertEqual([row[:2] for row in shown["bids"]], bids)
        self.assertEqual([row[:2] for row in reversed(shown["asks"])], asks)
        self.assertAlmostEqual(float(shown["bids"][-1][2]), sum(float(amount) for _, amount in bids))
        mid = (float(bids[0][0]) + float(asks[0][0])) / 2
        self.assertEqual(float(await self.browser.text("#mid")), mid)
        self.assertEqual(float(await self.browser.text("#ladder-mid")), mid)
        await self.assert_no_complaints()

    async def test_tape_is_the_daemons(self) -> None:
        """The latest trades, newest on top, with their side in a word."""
        await self.page()
        await self.quiet()
        latest = list(self.served.market.trades["tBTCUSD"].latest)[::-1]
        shown = await self.browser.js(
            "[...document.getElementById('trades').rows].slice(0, 30)"
            ".map((row) => [row.dataset.id, ...[...row.cells].slice(1).map((cell) => cell.textContent)])"
        )
        sides = ["▼ sell" if trade.amount.startswith(b"-") else "▲ buy" for trade in latest]
        wanted = [
            [str(trade.id), side, trade.price.decode(), trade.amount.decode().lstrip("-")]
            for trade, side in zip(latest, sides, strict=True)
        ]
        self.assertEqual(shown, wanted)

    async def test_a_trade_that_comes_late_is_not_on_top(self) -> None:
        """One older than the snapshot, of which only the `tu` came since somebody reads."""
        await self.page()
        await self.quiet()
        ids = "[...document.getElementById('trades').rows].map((row) => Number(row.dataset.id))"
        before = await self.browser.js(ids)
        latest = self.served.market.trades["tBTCUSD"].latest
        late = Trade(before[-1] - 1, latest[0].mts - 3_600_000, b"1", b"64000")
        self.served.market.trades["tBTCUSD"].listeners[0].executed([late], [True], now())
        await self.becomes(f"{ids}.length", len(before) + 1)
        self.assertEqual(await self.browser.js(ids), [*before, late.id])

    async def test_a_book_of_every_two_seconds(self) -> None:
        """A daemon that carries it as F1 has none as F0."""
        await self.page(frequency="F1")
        self.assertEqual(len((await self.browser.js(_LADDER))["bids"]), 10)

    async def test_steps(self) -> None:
        """Prices put together by a step: the amounts stay the same in sum."""
        await self.page("/?rows=100")
        await self.quiet()
        before = await self.browser.js(_LADDER)
        await self.browser.press("+", "+", "+")
        await self.becomes("new URLSearchParams(location.search).get('step')", "10")
        await deferLater(reactor, 0.3, lambda: None)
        grouped = await self.browser.js(_LADDER)
        self.assertTrue(all(float(row[0]) % 10 == 0 for row in grouped["bids"] + grouped["asks"]))
        self.assertLess(len(grouped["bids"]), len(before["bids"]))
        self.assertEqual(grouped["bids"][-1][2], before["bids"][-1][2])
        self.assertEqual(grouped["asks"][0][2], before["asks"][0][2])

    async def test_middle_stands_still(self) -> None:
        """Whatever the book does, the spread stays at its place on the screen."""
        await self.page(rate=20)
        places = set()
        for _ in range(15):
            places.add(await self.browser.js(_MIDDLE))
            await deferLater(reactor, 0.1, lambda: None)
        self.assertEqual(len(places), 1)
        self.served.faults.set("book", "thin")
        await self.becomes("[...bids.rows].filter((row) => row.cells[0].textContent).length", 3)
        top = await self.browser.js(_MIDDLE)
        self.assertEqual(places, {top})

    async def test_one_side_is_empty(self) -> None:
        """A book without asks has no middle, and the page says so."""
        await self.page()
        self.served.faults.set("book", "one-sided")
        await self.becomes("mid.textContent", NO_NUMBER)
        self.assertEqual(await self.browser.text("#ladder-spread"), "one side is empty")
        self.assertEqual(await self.browser.text("#mid-note"), "")  # not that it went up
        self.served.faults.set("book", "empty")
        await self.becomes("document.getElementById('ladder-spread').textContent", "the book is empty")
        self.served.faults.clear("book")
        await self.becomes(f"mid.textContent === '{NO_NUMBER}'", False)
        await self.assert_no_complaints()


class ReaderTest(PageTest):
    """What the reader does."""

    async def test_pairs(self) -> None:
        """Two pairs: by the list, by keys, by the URL, and back."""
        await self.page(symbols=["tBTCUSD", "tETHUSD"])
        self.assertEqual(await self.browser.js("[...pair.options].map((option) => option.value)"), ["BTC/USD", "ETH/USD"])
        await self.browser.press("]")
        self.assertTrue((await self.browser.text("#spoken")).startswith("ETH/USD"))
        await self._shows("tETHUSD")
        self.assertIn("pair=ETH-USD", await self.browser.js("location.search"))
        await self.browser.press("r")
        await self.becomes("document.getElementById('asks').rows.length", 25)
        await self.browser.back()
        await self._shows("tBTCUSD")
        self.assertEqual(await self.browser.js("[rows.value, asks.rows.length]"), ["10", 10])
        await self.browser.press("r")
        await self.becomes("location.search", "?pair=BTC-USD&rows=25")
        await self.browser.js("(pair.value = 'ETH/USD', pair.dispatchEvent(new Event('change')), 0)")
        await self._shows("tETHUSD")
        for written in ("eth-usd", "ETHUSD", "tETHUSD"):
            await self.browser.get(f"{self.served.url}/?pair={written}")
            await self._shows("tETHUSD")
            self.assertEqual(await self.browser.text("#absent"), "")
        await self._press("[", altKey=True)  # as on a Mac with a German keyboard, say
        await self._shows("tBTCUSD")
        await self._press("t", altKey=True)
        await self._press("+", ctrlKey=True)
        self.assertEqual(await self.browser.js("[document.documentElement.dataset.theme, step.value]"), ["auto", ""])
        await self.assert_no_complaints()

    async def _press(self, key: str, **modifiers: bool) -> None:
        """As a keyboard that has the key elsewhere."""
        event = json.dumps({"key": key, "bubbles": True, **modifiers})
        await self.browser.js(f"(document.body.dispatchEvent(new KeyboardEvent('keydown', {event})), 0)")

    async def _shows(self, symbol: str) -> None:
        """The page comes to show the book and the trades of this pair."""
        name = self.served.market.books[symbol].name
        await self.becomes("pair.value", name)
        await self.becomes(_STATE, "live")
        await self.becomes(f"document.title.endsWith('{name}')", True)
        best = float(self.served.market.books[symbol].book.bids.rows[0][0])
        price = "Number(document.querySelector('#trades tr')?.cells[2].textContent)"
        await self.becomes(f"Math.abs({price} / {best} - 1) < 0.1", True)
        self.assertAlmostEqual(float(await self.browser.text("#mid")) / best, 1, 1)

    async def test_below_a_path_of_a_proxy(self) -> None:
        """All that the page asks for, its socket too, and where its links lead is beside it."""
        await self.page("/livez", live=False)
        proxy = ProxyFactory("127.0.0.1", int(self.served.url.rpartition(":")[2]))
        proxy.protocol = _BelowAPath
        port = reactor.listenTCP(0, proxy, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}/bfx/"
        await self.browser.get(f"{url}?pair=BTC-USD&rows=25")
        await self.becomes(f"[{_STATE}, version.textContent]", ["live", "0"])
        await self.browser.press("r")
        await self.becomes("location.pathname + location.search", "/bfx/?pair=BTC-USD&rows=100")
        links = await self.browser.js("[...document.querySelectorAll('footer a')].map((one) => one.href)")
        self.assertEqual(links, [f"{url}status", f"{url}books"])
        self.assertEqual(set(self.served.site.answered), {200})
        await self.assert_no_complaints()

    async def test_unknown_pair(self) -> None:
        """A pair that is not carried: the page says so and shows one that is."""
        await self.page("/?pair=DOGE-USD")
        self.assertEqual(await self.browser.text("#absent"), "DOGE-USD is not carried here.")
        self.assertEqual(await self.browser.js("pair.value"), "BTC/USD")

    async def test_a_url_that_was_cut(self) -> None:
        """What cannot be chosen is left aside, and the page is there all the same."""
        await self.page("/?pair=btc-usd&rows=2&step=10.")
        self.assertEqual(await self.browser.js("[pair.value, rows.value, step.value]"), ["BTC/USD", "10", ""])
        await self.assert_no_complaints()

    async def test_choices_are_in_the_url(self) -> None:
        """Rows and step are there after a reload."""
        await self.page()
        await self.browser.press("r", "+")
        await self.becomes("location.search.includes('rows=25') && location.search.includes('step=1')", True)
        await self.browser.get(await self.browser.js("location.href"))
        await self.becomes("document.getElementById('asks').rows.length", 25)
        await self.becomes("step.value", "1")

    async def test_keys(self) -> None:
        """Everything by the keyboard: help, theme, colours, crosshair, and a sentence for those who listen."""
        await self.page()
        await self.browser.press("?")
        self.assertTrue(await self.browser.js("help.open"))
        await self.browser.press("escape")
        self.assertFalse(await self.browser.js("help.open"))
        await self.browser.press("t", "t", "c")
        dressed = await self.browser.js("({...document.documentElement.dataset})")
        self.assertEqual((dressed["theme"], dressed["colours"]), ("dark", "blue-orange"))
        await self.browser.press("s")
        spoken = await self.browser.text("#spoken")
        self.assertRegex(spoken, r"^BTC/USD: Live\. In sequence, [^.]+\. Mid [\d.]+, spread [\d.]+, [\d.]+ basis points, im")
        await self.browser.js("(depth.focus(), 0)")
        await self.browser.press("right", "right")
        self.assertRegex(await self.browser.text("#depth-readout"), r"^[\d.]+ · [\d.]+ asked · \+[\d.]+ %$")
        self.assertEqual(await self.browser.js("depth.getAttribute('aria-valuenow')"), "4")
        await self.assert_no_complaints()

    async def test_tab_order(self) -> None:
        """Tab goes through everything that can be used, and the focus is seen."""
        await self.page(symbols=["tBTCUSD", "tETHUSD"])
        seen = []
        for _ in range(11):
            await self.browser.press("tab")
            seen.append(await self.browser.js("document.activeElement.id || document.activeElement.className"))
            outline = await self.browser.js("getComputedStyle(document.activeElement).outlineStyle")
            self.assertNotEqual(outline, "none", seen[-1])
        wanted = ["skip", "pair", "colours", "theme", "keys", "rows", "step", "ladder-scroll", "depth", "scroll"]
        self.assertEqual(seen[: len(wanted)], wanted)

    async def test_what_is_told_without_eyes(self) -> None:
        """Headings, tables with captions and headers, a name for everything that can be used."""
        await self.page()
        tree = await self.browser.tree()
        roles = [role for role, _ in tree]
        self.assertEqual((roles.count("table"), roles.count("main")), (2, 1))
        for wanted in (("heading", "Order book"), ("heading", "Trades"), ("columnheader", "Price"), ("combobox", "Pair")):
            self.assertIn(wanted, tree)
        regions = [name for role, name in tree if role == "region"]
        self.assertEqual(len(regions), len(set(regions)), "who goes from one to the next hears of each once")
        named = ("button", "combobox", "slider", "table", "region", "group", "link")
        self.assertEqual([role for role, name in tree if role in named and not name], [])
        await self.browser.resize(320, 640)
        self.assertIn(("button", "Colours of bids and asks: Green, red"), await self.browser.tree())
