"""The page in a real browser: what cannot be overlooked."""

import json
from time import time_ns

from twisted.internet.task import deferLater

from bfxtwist.app import now
from bfxtwist.core import channel
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import Trade
from bfxtwist.out.relay_client import RelayConversation
from tests.page.test_page import _LADDER, _STATE, PageTest, reactor

_OPACITY = "getComputedStyle(document.querySelector('main')).opacity"
_TAPE_OPACITY = "getComputedStyle(trades.closest('.scroll')).opacity"

#: What browsers do to a tab that was hidden for minutes: no frames, and timers once a minute at best.
_HIDE = """(() => {
    Object.defineProperty(document, "hidden", {get: () => true});
    window.requestAnimationFrame = () => 0;
    for (let id = setInterval(() => {}, 1e6); id; id -= 1) clearInterval(id);
})()"""


class StateTest(PageTest):
    """What cannot be overlooked."""

    async def test_stall(self) -> None:
        """The exchange falls silent: within the limit the numbers are grey and say how old they are. Then it is over."""
        self.patch(channel, "HEARTBEAT_LATE", 2.0)
        await self.page(heartbeat=0.5)
        await self.becomes(_OPACITY, "1")
        self.served.faults.set("stall", "nothing")
        await self.becomes(_STATE, "stale")
        await self.becomes("/These numbers are [1-9]\\d* s old. The heartbeat is late./.test(detail.textContent)", True)
        self.assertIn("heartbeat is late", self.served.market.books["tBTCUSD"].reason)
        self.assertTrue((await self.browser.text("#headline")).startswith("Stale for "))
        self.assertTrue((await self.browser.js("document.title")).startswith("Stale for "))
        await self.becomes(_OPACITY, "0.5")
        self.assertIn("grayscale(1)", await self.browser.js("getComputedStyle(document.querySelector('main')).filter"))
        self.served.faults.clear()
        await self.becomes(_STATE, "live")
        await self.quiet()
        shown = await self.browser.js(_LADDER)
        rows = self.served.market.books["tBTCUSD"].book.bids.rows[:10]
        self.assertEqual([row[0] for row in shown["bids"]], [row[0].decode() for row in rows])
        await self.becomes(_OPACITY, "1")

    async def test_a_tab_that_nobody_looks_at(self) -> None:
        """No frame of it is drawn and its timers are late: title and icon say all the same that the numbers are old."""
        self.patch(channel, "HEARTBEAT_LATE", 2.0)
        await self.page(heartbeat=0.5)
        await self.browser.js(_HIDE)
        price = await self.browser.js("document.title")
        await self.becomes(f"document.title === {json.dumps(price)}", False)  # another price
        icon = await self.browser.js("document.getElementById('icon').href")
        self.served.faults.set("stall", "nothing")
        await self.becomes("document.title.startsWith('Stale for ')", True)
        self.assertNotEqual(await self.browser.js("document.getElementById('icon').href"), icon)

    async def test_lost_and_back(self) -> None:
        """The exchange's connection is lost and comes back, and the page with it."""
        await self.page()
        self.served.faults.set("handshake", "503")
        self.served.faults.set("drop")
        await self.becomes(_STATE, "stale")
        self.served.faults.clear()
        await self.becomes(_STATE, "live")
        self.assertIs(self.served.market.books["tBTCUSD"].state, FeedState.LIVE)
        self.assertEqual(await self.browser.js("document.querySelectorAll('.hole').length"), 0, "few trades came meanwhile")
        await self.assert_no_complaints()

    async def test_daemon_gone(self) -> None:
        """The page's own connection is gone: it says so, and comes back by itself."""
        await self.page()
        await self.served.relay.stopService()
        await self.becomes(_STATE, "disconnected")
        detail = await self.browser.text("#detail")
        self.assertIn("The daemon stops.", detail)
        self.assertIn("Trying again", detail)
        self.served.relay.startService()
        await self.becomes(_STATE, "live")

    async def test_a_hole_in_the_tape(self) -> None:
        """More trades while the page was not connected than it is told of afterwards do not look consecutive."""
        await self.page()
        await self.becomes("document.getElementById('trades').rows.length >= 30", True)
        await self.quiet()
        await self.served.relay.stopService()
        await self.becomes(_STATE, "disconnected")
        latest = self.served.market.trades["tBTCUSD"].latest
        newest = latest[-1]
        latest.extend(Trade(newest.id + more, newest.mts + more, b"1", b"64000") for more in range(1, 41))
        self.served.relay.startService()
        await self.becomes(_STATE, "live")
        classes = "[...document.getElementById('trades').rows].map((row) => row.className)"
        side = "sell" if newest.amount.startswith(b"-") else "buy"
        await self.becomes(f"{classes}.slice(29, 32).join()", f"buy,hole,{side}")
        self.assertEqual(await self.browser.text(".hole"), "trades may be missing here")

    async def test_daemon_stopped(self) -> None:
        """It says nothing more, and nothing is closed: grey within seconds, and live again when it goes on."""
        await self.page()
        pong = RelayConversation._pong
        self.patch(RelayConversation, "_pong", lambda conversation, cid: None)
        await self.becomes(f"[{_STATE}, headline.textContent.startsWith('No answer for ')]", ["stale", True])
        stopped = "detail.textContent.includes('The daemon has stopped answering.')"
        await self.becomes(f"[{_STATE}, {stopped}]", ["disconnected", True])
        self.patch(RelayConversation, "_pong", pong)
        await self.becomes(_STATE, "live")

    async def test_a_pair_that_waits_says_nothing_of_the_next(self) -> None:
        """Where the book of one pair is not live yet, that of the pair looked at next is told to be stale all the same."""
        self.patch(channel, "HEARTBEAT_LATE", 2.0)
        await self.page(symbols=["tBTCUSD", "tETHUSD"], heartbeat=0.5)
        book = next(feed.subscription for feed in self.served.market.feeds() if feed.name == "ETH/USD")
        self.served.faults.set("no-ack")
        self.served.feed.drop(book)
        self.served.feed.want(book)
        await self.browser.press("]")
        await self.becomes("headline.textContent", "No book yet")
        await self.browser.press("[")
        await self.becomes(_STATE, "live")
        self.served.faults.set("stall", "nothing")
        await self.becomes(_STATE, "stale")

    async def test_trades_alone(self) -> None:
        """The trades fall silent, and the book does not: it is live, and they are grey, until they are heard again."""
        self.patch(channel, "HEARTBEAT_LATE", 2.0)
        await self.page(heartbeat=0.5)
        self.served.faults.set("stall-channel", "trades")
        await self.becomes(f"[{_STATE}, {_OPACITY}, {_TAPE_OPACITY}]", ["live", "1", "0.5"])
        self.assertRegex(await self.browser.text("#detail"), "^the book is in sequence, .* The trades are not live: ")
        moved = "document.getElementById('ladder-scroll').textContent"
        before = await self.browser.js(moved)
        await self.becomes(f"[{moved} === {json.dumps(before)}, {_STATE}]", [False, "live"])
        self.served.faults.clear()
        await self.becomes(f"[{_STATE}, {_OPACITY}, {_TAPE_OPACITY}]", ["live", "1", "1"])
        last = self.served.market.trades["tBTCUSD"].latest[-1].id
        await self.becomes(f"Number(document.querySelector('#trades tr').dataset.id) >= {last}", True)
        await self.assert_no_complaints()

    async def test_wrong_book(self) -> None:
        """A checksum that does not match is seen by the page itself, which subscribes again."""
        await self.page()
        book = self.served.market.books["tBTCUSD"].book
        right = book.checksum
        self.patch(book, "checksum", lambda: right() ^ 1)
        await self.becomes(_STATE, "stale")
        self.patch(book, "checksum", right)
        await self.becomes(_STATE, "live")

    async def test_what_cannot_be_drawn(self) -> None:
        """A trade of a time that no browser knows: the numbers are not the latest, and do not look it, until it is gone."""
        await self.page()
        feed = self.served.market.trades["tBTCUSD"]
        odd = Trade(10**12, 10**17, b"1", b"64000")
        later = [Trade(odd.id + more, time_ns() // 1_000_000, b"1", b"64000") for more in range(1, 61)]
        feed.listeners[0].executed([odd], [False], now())
        await self.becomes(_STATE, "stale")
        self.assertEqual(await self.browser.text("#headline"), "Not drawn")
        self.assertIn("Invalid time value", await self.browser.text("#detail"))
        feed.listeners[0].executed(later, [False] * 60, now())
        await self.becomes(_STATE, "live")

    async def test_gone_and_back(self) -> None:
        """The daemon does not carry the pair any more, then carries it again: the page follows."""
        await self.page()
        subscriptions = [feed.subscription for feed in self.served.market.feeds()]
        for subscription in subscriptions:
            self.served.feed.drop(subscription)
        await self.becomes("absent.textContent", "BTC-USD is not carried here.")
        await self.becomes(_STATE, "absent")
        for subscription in subscriptions:
            self.served.feed.want(subscription)
        await self.becomes(_STATE, "live")
        await self.becomes("document.getElementById('trades').rows.length >= 30", True)
        self.assertEqual(await self.browser.text("#absent"), "")
        self.served.feed.drop(subscriptions[1])
        await self.becomes("document.getElementById('tape-note').textContent.startsWith('The daemon does not')", True)
        self.served.feed.want(subscriptions[1])
        await self.becomes("document.getElementById('tape-note').textContent", "")
        await self.becomes("document.getElementById('trades').rows.length >= 30", True)
        await self.assert_no_complaints()

    async def test_another_pair_instead(self) -> None:
        """The pair is gone, and one other is left: the list names both, and by it or by a key one comes to the other."""
        await self.page(symbols=["tBTCUSD", "tETHUSD"])
        for subscription in [feed.subscription for feed in self.served.market.feeds() if feed.name == "BTC/USD"]:
            self.served.feed.drop(subscription)
        await self.becomes("absent.textContent", "BTC-USD is not carried here.")
        names = "[[...pair.options].map((option) => option.value), pair.value, pair.disabled]"
        await self.becomes(names, [["ETH/USD", "BTC/USD"], "BTC/USD", False])
        await self.becomes(f"[{_STATE}, headline.textContent]", ["absent", "Not carried"])
        await self.browser.press("]")
        await self.becomes(f"[{_STATE}, absent.textContent]", ["live", ""])
        await self.becomes(names, [["ETH/USD"], "ETH/USD", True])

    async def test_refused(self) -> None:
        """The exchange does not have the pair any more, and is asked again now and then: the page says so, and stays."""
        await self.page()
        self.served.faults.set("refuse", "10300")
        self.served.faults.set("drop")
        await self.becomes(_STATE, "absent")
        await self.browser.js(
            "(globalThis.asked = [], WebSocket.prototype.send = (request) => asked.push(JSON.parse(request).event), 0)"
        )
        await deferLater(reactor, 5.0)  # more than two looks at what the daemon says
        self.assertNotIn("subscribe", await self.browser.js("asked"))
        self.assertEqual(await self.browser.text("#headline"), "No book")

    async def test_said_once(self) -> None:
        """A screen reader is told of a change of state, and not of each second."""
        await self.page()
        self.assertTrue((await self.browser.text("#spoken")).startswith("BTC/USD: Live."))
        await self.browser.js(
            "(globalThis.said = [], new MutationObserver(() => said.push(spoken.textContent))"
            ".observe(spoken, {childList: true, characterData: true, subtree: true}), 0)"
        )
        self.served.faults.set("handshake", "503")
        self.served.faults.set("drop")
        await self.becomes(_STATE, "stale")
        await deferLater(reactor, 2.5, lambda: None)
        said = await self.browser.js("said")
        self.assertEqual(len(said), 1)
        self.assertIn("Stale", said[0])

    async def test_crosshair_is_said_when_it_is_moved(self) -> None:
        """And not each time that the book moves, ten times a second."""
        await self.page(rate=20)
        await self.browser.js("(depth.focus(), 0)")
        await self.browser.press("right", "right")
        said = await self.browser.js("depth.getAttribute('aria-valuetext')")
        self.assertIn(" asked · ", said)
        readout = "document.getElementById('depth-readout')"
        await self.becomes(f"{readout}.textContent === {json.dumps(said)}", False)
        self.assertEqual(await self.browser.js("depth.getAttribute('aria-valuetext')"), said)
        self.assertEqual(await self.browser.js(f"{readout}.ariaLive"), "off")
        await self.browser.press("escape")
        self.assertEqual(await self.browser.js("depth.getAttribute('aria-valuetext')"), "middle of the book")
