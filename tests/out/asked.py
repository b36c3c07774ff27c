"""The routes, asked over treq and in memory."""

import json
from typing import Any

from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.market import Market
from bfxtwist.out.http import HttpApi
from tests.out.served import moment


class HttpApiTestCase(SynchronousTestCase):
    """A market that is empty, and its routes."""

    def setUp(self) -> None:
        self.now = moment()
        self.market = Market()
        self.api = HttpApi(self.market, lambda: self.now, "1.2.3")
        self.treq = StubTreq(self.api.resource())

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[Any, bytes]:
        """The response, and its body as it was sent."""
        sent = {name.replace("_", "-"): [value] for name, value in headers.items()}
        response = self.successResultOf(self.treq.request(method, f"http://localhost{path}", headers=sent))
        return response, self.successResultOf(response.content())

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and document."""
        response, body = self.ask(path, **headers)
        return response.code, json.loads(body)

    def assert_problem(self, path: str, status: int, *words: str, method: str = "GET") -> dict[str, Any]:
        """The document of a problem, which has these words in its detail."""
        response, body = self.ask(path, method)
        document: dict[str, Any] = json.loads(body)
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["application/problem+json"])
        self.assertEqual((response.code, document["status"], document["instance"]), (status, status, path), document)
        for word in words:
            self.assertIn(word, document["detail"])
        return document
