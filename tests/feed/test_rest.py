"""A request has an end, wherever it is stuck, and that end is no bug."""

from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent

from bfxtwist.feed.rest import Answer, RequestFailed, get


class Stuck(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def ask(self) -> "Deferred[Answer]":
        client = HTTPClient(Agent(self.reactor))
        return Deferred.fromCoroutine(get(client, "http://127.0.0.1:9/v2", {}, self.reactor, timeout=5))

    def connect(self) -> None:
        factory = self.reactor.tcpClients[-1][2]
        factory.buildProtocol(None).makeConnection(StringTransport())

    def test_while_it_connects(self) -> None:
        """A firewall that drops what is sent to the exchange; the endpoint itself would wait for longer."""
        asking = self.ask()
        self.reactor.advance(5)
        self.assertIn("within 5 s", str(self.failureResultOf(asking, RequestFailed)))

    def test_while_there_is_no_answer(self) -> None:
        asking = self.ask()
        self.connect()
        self.reactor.advance(5)
        self.assertIn("within 5 s", str(self.failureResultOf(asking, RequestFailed)))

    def test_a_stop_in_the_meantime_is_told_as_one(self) -> None:
        for connected in (False, True):
            asking = self.ask()
            if connected:
                self.connect()
            asking.cancel()
            self.failureResultOf(asking, CancelledError)
