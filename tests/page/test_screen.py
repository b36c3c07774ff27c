"""The page in a real browser on any screen: sizes, long numbers, colours, motion, and a thousand updates a second."""

from itertools import pairwise

from twisted.internet.task import deferLater

from tests.page.test_page import _STATE, PageTest, reactor

#: Cells whose digits do not stand within them, or that one cannot see without scrolling to the side.
_CUT = """[...document.querySelectorAll(".ladder td, .ladder tbody th, .tape td")].filter((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    const [text, box, seen] = [range, cell, cell.closest(".scroll")].map((one) => one.getBoundingClientRect());
    return text.left < box.left || text.right > Math.min(box.right, seen.right);
}).map((cell) => cell.textContent)"""
#: A middle that lies between two prices is longer than they are.
_LONG_MIDDLE = """Object.entries({"ladder-mid": "0.000000695", "ladder-spread": "spread 0.00000003 · 431.7 bp"})
    .forEach(([id, text]) => { document.getElementById(id).textContent = text; })"""
_SMALLEST = "Math.min(...[...document.querySelectorAll('table')].map((one) => parseFloat(getComputedStyle(one).fontSize)))"

#: Whether the trade file's figures can be read where they are long.
_LONG_PROBLEM = """Object.entries({
    "gaps": "1234 filled, none open",
    "gaps-note": "/var/lib/bfxtwist/btc/BTC-USD/trade.csv: No space left on device",
}).map(([id, text]) => {
    const element = document.getElementById(id);
    element.textContent = text;
    return element.scrollWidth <= element.clientWidth && element.scrollHeight <= element.clientHeight;
})"""

#: Prices of the ladder, and where their last digits end.
_ENDS = """[...document.querySelectorAll(".ladder [scope=row]")].filter((cell) => cell.textContent).map((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return [cell.textContent, Math.round(range.getBoundingClientRect().right)];
})"""

#: Tables that are longer than the panel that they are in, and where panels begin and end.
_BEYOND = """[...document.querySelectorAll(".scroll")]
    .filter((one) => one.scrollHeight > one.closest(".panel").clientHeight).map((one) => one.className)"""
_PANELS = """[...document.querySelectorAll(".panel")].map((one) => one.getBoundingClientRect())
    .map(({top, bottom}) => [top, bottom])"""

#: The colours of the headline, and of a link in it.
_LINK = """[headline, headline.appendChild(Object.assign(document.createElement("a"), {href: "/book"}))]
    .map((one) => getComputedStyle(one).color)"""

#: Texts, their colours and those behind them, as `[red, green, blue]`, however the browser has mixed them: the headline of a
#: live book, and what stands on the bars of the ladder and of the tape, each of which is taken for as long as its row.
_MIXED = """(() => {
    const pixel = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const over = (...colours) => {
        for (const colour of colours) {
            pixel.fillStyle = colour;
            pixel.fillRect(0, 0, 1, 1);
        }
        return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const root = getComputedStyle(document.documentElement);
    const ground = (cell) => {
        const bar = getComputedStyle(cell.parentNode).backgroundImage.match(/gradient\\(to left, (.*?\\)) /)[1];
        return over(root.getPropertyValue("--panel"), bar);
    };
    const cells = ["#asks", "#bids", "#trades .buy", "#trades .sell"].flatMap((rows) =>
        [...document.querySelectorAll(`${rows} :is(th, td)`)].filter((cell) => cell.textContent).slice(0, 4));
    const banner = document.querySelector(".banner");
    return [[headline, over(getComputedStyle(banner).backgroundColor)], ...cells.map((cell) => [cell, ground(cell)])]
        .map(([one, behind]) => [one.textContent, over(getComputedStyle(one).color), behind]);
})()"""

#: Whether a changed amount is of another colour than its row, and whether a new trade has a ground of its own.
_SEEN = (
    """[...document.querySelectorAll(".ladder .changed")]
        .some((one) => getComputedStyle(one).color !== getComputedStyle(one.parentNode).color)""",
    """[...document.querySelectorAll(".tape .new")]
        .some((one) => getComputedStyle(one).backgroundColor !== "rgba(0, 0, 0, 0)")""",
)


class ScreenTest(PageTest):
    """Any screen."""

    async def test_sizes(self) -> None:
        """From a telephone to a wall nothing goes beyond the side, and the text can be read."""
        await self.page()
        for width, height in ((320, 640), (360, 740), (820, 1180), (1440, 900), (3840, 2160)):
            await self.browser.resize(width, height)
            await deferLater(reactor, 0.3, lambda: None)
            self.assertLessEqual(await self.browser.js("document.documentElement.scrollWidth"), width)
            size = await self.browser.js("parseFloat(getComputedStyle(document.querySelector('#bids th')).fontSize)")
            self.assertGreater(size, 12)
            canvas = await self.browser.js("depth.clientHeight")
            self.assertGreater(canvas, 100, width)
        self.assertGreater(size, 24)
        await self.assert_no_complaints()

    async def test_long_numbers_and_names(self) -> None:
        """A price below 1e-6 for an amount of millions, of a pair with a long name: no digit is cut or stands on another."""
        await self.page("/?pair=VET-BTC", symbols=("tVETBTC", "tTESTBTCF0:TESTUSTF0"), length=100)
        await self.becomes("trades.rows.length > 5", True)
        await self.quiet()
        for width, height in ((320, 640), (360, 740), (1200, 800), (1600, 1000)):
            await self.browser.resize(width, height)
            await deferLater(reactor, 0.3, lambda: None)
            self.assertLessEqual(await self.browser.js("document.documentElement.scrollWidth"), width)
            self.assertEqual(await self.browser.js(f"({_LONG_MIDDLE}, {_CUT})"), [], width)
            self.assertGreater(await self.browser.js(_SMALLEST), 9)
        self.assertEqual(await self.browser.js(_LONG_PROBLEM), [True, True])
        await self.browser.js("(depth.focus(), 0)")
        await self.browser.press("home")
        self.assertRegex(await self.browser.text("#depth-readout"), r"^\d[\d.e-]* · ", "a price below 0")
        prices = await self.browser.js(_ENDS)
        self.assertGreater(len({text for text, _ in prices}), 5)
        self.assertEqual(len({end for _, end in prices}), 1, prices)

    async def test_trades_of_yesterday(self) -> None:
        """Their day is told, and fits."""
        await self.page("/?pair=VET-BTC", symbols=["tVETBTC"])
        await self.becomes("trades.rows.length > 5", True)
        await self.quiet()
        await self.browser.js("(Date.now = ((now) => () => now() + 864e5)(Date.now), 0)")
        await self.becomes(r"/^\d\d? [A-Z][a-z]+ \d\d:\d\d$/.test(trades.rows[0].cells[0].textContent)", True)
        for width, height in ((320, 640), (1440, 900)):
            await self.browser.resize(width, height)
            await deferLater(reactor, 0.3, lambda: None)
            self.assertEqual(await self.browser.js(_CUT), [], width)

    async def test_contrast(self) -> None:
        """Text on its ground: 4.5 to 1 and more, in both themes and with both pairs of colours (WCAG 2.2, 1.4.3)."""
        await self.page()
        for scheme in ("light", "dark"):
            await self.browser.prefer(color_scheme=scheme)
            await deferLater(reactor, 0.3, lambda: None)
            style = "getComputedStyle(document.documentElement)"
            for name in ("text", "muted", "green", "red", "blue", "orange", "accent"):
                colours = await self.browser.js(f"['{name}', 'panel'].map((one) => {style}.getPropertyValue(`--${{one}}`))")
                self.assertGreaterEqual(_contrast(*colours), 4.5, f"{name}, {scheme}")
            for state in ("syncing", "stale", "disconnected", "absent"):
                ground = await self.browser.js(f"{style}.getPropertyValue('--{state}')")
                self.assertGreaterEqual(_contrast("#ffffff", ground), 4.5, f"{state}, {scheme}")

    async def test_contrast_of_what_is_mixed(self) -> None:
        """The same of text on a ground that is tinted: the strip of a live book, and the bars behind the numbers."""
        await self.page()
        await self.quiet()
        for scheme in ("light", "dark"):
            await self.browser.prefer(color_scheme=scheme)
            for _ in range(2):
                await self.browser.press("c")
                mixed = await self.browser.js(_MIXED)
                self.assertGreaterEqual(len(mixed), 17)
                for text, *colours in mixed:
                    contrast = _contrast(*(f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colours))
                    self.assertGreaterEqual(contrast, 4.5, f"{text}, {scheme}, {colours}")

    async def test_paper(self) -> None:
        """There nothing can be scrolled to: every level and every trade is printed, and none on another."""
        await self.page("/?rows=100", length=100)
        await self.browser.print()
        self.assertEqual(await self.browser.js(_BEYOND), [])
        panels = await self.browser.js(_PANELS)
        self.assertTrue(all(above <= below for (_, above), (below, _) in pairwise(panels)), panels)

    async def test_without_javascript(self) -> None:
        """The link that is left can be read."""
        await self.page()
        colours = await self.browser.js(_LINK)
        self.assertEqual(len(set(colours)), 1, colours)

    async def test_reduced_motion(self) -> None:
        """Who prefers less motion gets a picture a second."""
        await self.page(rate=20)
        await self.browser.prefer(reduced_motion="reduce")
        await deferLater(reactor, 0.5, lambda: None)
        await self.browser.js(
            "(globalThis.drawn = 0, new MutationObserver(() => { drawn += 1; }).observe(mid, {childList: true}),"
            "new MutationObserver(() => { drawn += 1; }).observe(rate, {childList: true}), 0)"
        )
        await deferLater(reactor, 3.0, lambda: None)
        self.assertLessEqual(await self.browser.js("drawn"), 8)

    async def test_changes_are_seen_for_a_moment(self) -> None:
        """A changed amount, a new trade; and nothing has the browser paint sixty times a second for that."""
        await self.page(rate=20)
        await deferLater(reactor, 0.5, lambda: None)
        for seen in _SEEN:
            await self.becomes(seen, True)
        self.assertEqual(await self.browser.js("document.getAnimations().length"), 0)
        await self.quiet()
        self.assertEqual(await self.browser.js("document.querySelectorAll('.changed, .new').length"), 0)

    async def test_a_thousand_updates_a_second(self) -> None:
        """The page stays responsive: its own clock ticks on, and it draws no more often than every 100 ms."""
        await self.page(rate=25)
        await self.becomes("Number(rate.textContent) > 600", True)
        await self.browser.js(
            "(globalThis.worst = 0, globalThis.last = performance.now(), globalThis.drawn = 0,"
            "setInterval(() => { worst = Math.max(worst, performance.now() - last); last = performance.now(); }, 10),"
            "new MutationObserver(() => { drawn += 1; }).observe(document.querySelector('#bids th'),"
            "{childList: true, attributes: true}), 0)"
        )
        await deferLater(reactor, 3.0, lambda: None)
        self.assertLess(await self.browser.js("worst"), 1000)
        await self.browser.press("c")
        self.assertEqual(await self.browser.js("document.documentElement.dataset.colours"), "blue-orange")
        self.assertEqual(await self.browser.js(_STATE), "live")
        await self.assert_no_complaints()


def _contrast(one: str, other: str) -> float:
    """Of two colours like `#08794c` (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour.strip()[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
