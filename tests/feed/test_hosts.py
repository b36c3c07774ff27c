"""What a host can be called is what Twisted's endpoint will look up."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.feed.hosts import is_host

HOSTS = ("api-pub.bitfinex.com", "localhost", "EXAMPLE.org", "a.b.", "nö.example", "127.0.0.1", "::1", "1.2.3")
NO_HOSTS = ("ex_change", "a..b", "-a-", "n o", "[::1]", "a:80", "a" * 64, "")


class Hosts(SynchronousTestCase):
    def is_refused_by_twisted(self, name: str) -> bool:
        reactor: Any = MemoryReactorClock()
        connecting: Deferred[Any] = HostnameEndpoint(reactor, name, 80).connect(Factory())
        failures: list[Failure] = []
        connecting.addErrback(failures.append)
        return bool(failures and failures[0].check(ValueError))

    def test_names_and_addresses(self) -> None:
        for name in HOSTS:
            self.assertTrue(is_host(name), name)
            self.assertFalse(self.is_refused_by_twisted(name), name)

    def test_what_is_none(self) -> None:
        for name in NO_HOSTS:
            self.assertFalse(is_host(name), name)
            self.assertTrue(self.is_refused_by_twisted(name), name)
        self.assertFalse(is_host(None))
