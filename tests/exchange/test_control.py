"""Faults switched on and off over HTTP."""

import json
from typing import Any

import treq
from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource

from bfxtwist.exchange.control import Control
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.faults import Faults
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.exchange.clients import connect, reactor, subscribe, until


class ControlTest(SynchronousTestCase):
    """What is answered."""

    def setUp(self) -> None:
        """None is on."""
        self.faults = Faults()
        root = Resource()
        root.putChild(b"faults", Control(self.faults))
        self.client = StubTreq(root)

    def ask(self, method: str, path: str = "") -> tuple[int, Any]:
        """Status and answer."""
        response = self.successResultOf(self.client.request(method, f"http://exchange.test/faults{path}"))
        text = self.successResultOf(response.text())
        return response.code, json.loads(text) if response.code == 200 else text

    def test_on_and_off(self) -> None:
        self.assertEqual(self.ask("GET"), (200, {}))
        self.assertEqual(self.ask("PUT", "/late-ack=2.5"), (200, {"late-ack": 2.5}))
        self.assertEqual(self.ask("PUT", "/quiet"), (200, {"late-ack": 2.5, "quiet": True}))
        self.assertEqual(self.ask("PUT", "/book%3Dempty"), (200, {"late-ack": 2.5, "quiet": True, "book": "empty"}))
        self.assertEqual((self.faults.number("late-ack"), self.faults.word("book")), (2.5, "empty"))
        self.assertEqual(self.ask("DELETE", "/late-ack"), (200, {"quiet": True, "book": "empty"}))
        self.assertEqual(self.ask("DELETE"), (200, {}))

    def test_mistakes_name_the_fix(self) -> None:
        self.assertEqual(self.ask("PUT", "/drp"), (404, "there is no fault 'drp': did you mean drop or drop-after?\n"))
        self.assertEqual(self.ask("PUT", "/drop=softly")[1], "drop=softly: choose from rst, fin, mid-frame, close\n")
        self.assertEqual(self.ask("PUT", "/quiet=3")[0], 400)
        self.assertEqual([self.ask("DELETE", "/nonsense")[0], self.ask("PUT")[0], self.ask("POST")[0]], [404, 404, 405])
        self.assertEqual(list(self.faults), [])


class DropTest(TestCase):
    """As somebody uses it who tests a client of his own."""

    timeout = 20

    async def test_a_connection_is_cut_again_and_again(self) -> None:
        exchange = EmbeddedExchange(reactor, SimulatedMarket(rate=10))
        await exchange.start()
        self.addCleanup(exchange.stop)
        for how in ("rst", "fin"):
            client = await connect(exchange.ws_url)
            client.ask(subscribe())
            await until(lambda client=client: client.frames)  # type: ignore[misc]
            above = exchange.rest_url.replace("/v2", "/faults/")
            url = f"{above}drop={how}"
            for answer in (await treq.put(url, persistent=False), await treq.get(above, persistent=False)):
                self.assertEqual((answer.code, await answer.json()), (200, {}))
            await until(lambda client=client: client.closed)  # type: ignore[misc]
