"""REST on a bad day, as a client meets it."""

from typing import Any

import treq
from twisted.internet.defer import Deferred, TimeoutError
from twisted.trial.unittest import TestCase
from twisted.web.client import ResponseNeverReceived

from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.exchange.clients import reactor


class BadAnswersTest(TestCase):
    """Real sockets, because the connection itself is part of what goes wrong."""

    timeout = 20

    async def asked(self, fault: str, value: str | None = None, symbol: str = "tBTCUSD") -> tuple[EmbeddedExchange, Any]:
        """An exchange with a fault, and what it answers."""
        exchange = EmbeddedExchange(reactor, SimulatedMarket())
        await exchange.start()
        self.addCleanup(exchange.stop)
        exchange.faults.set(fault, value)
        url = f"{exchange.rest_url}/trades/{symbol}/hist"
        answer = await treq.get(url, persistent=False, allow_redirects=False).addTimeout(0.3, reactor)
        return exchange, answer

    async def test_answers_that_are_whole_but_none(self) -> None:
        for fault, value, status, part in (
            ("rest-429", "a", 429, b'["error",11010,"ratelimit: error"]'),
            ("rest-429", "b", 429, b'{"error":"ERR_RATE_LIMIT"}'),
            ("rest-html", "502", 502, b"<html>"),
            ("rest-html", "200", 200, b"<html>"),
            ("rest-10020", None, 500, b'["error",10020'),
            ("rest-redirect", None, 302, b""),
        ):
            _, answer = await self.asked(fault, value)
            body = await answer.content()
            self.assertEqual(answer.code, status)
            self.assertIn(part, body)

    async def test_a_body_that_never_ends(self) -> None:
        _, answer = await self.asked("rest-stall", "body")
        parts: list[bytes] = []
        collected: Deferred[None] = treq.collect(answer, parts.append)
        with self.assertRaises(TimeoutError):
            await collected.addTimeout(0.2, reactor)
        self.assertTrue(b"".join(parts).startswith(b"[["))

    async def test_an_answer_that_never_begins(self) -> None:
        with self.assertRaises(ResponseNeverReceived):
            await self.asked("rest-stall", "headers")

    async def test_a_body_that_is_cut(self) -> None:
        _, answer = await self.asked("rest-cut")
        body = await treq.content(answer)
        self.assertTrue(body.startswith(b"[["))
        self.assertFalse(body.endswith(b"]]"))

    async def test_a_slow_answer_is_right(self) -> None:
        exchange, answer = await self.asked("rest-slow", "0.05")
        page = [row[0] for row in await answer.json()]
        told = [trade.id for trade in reversed(exchange.ledger["tBTCUSD"])]
        newest = told.index(page[0])  # what happened while it was on its way is not in it
        self.assertEqual(page, told[newest : newest + len(page)])

    async def test_a_slow_refusal_is_one(self) -> None:
        _, answer = await self.asked("rest-slow", "0.05", "tNOPE")
        self.assertEqual((answer.code, await answer.json()), (500, ["error", 10020, "symbol: invalid"]))
