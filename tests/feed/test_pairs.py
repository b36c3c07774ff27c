"""The exchange's list of pairs and names, read once at start."""

from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from bfxtwist.feed.pairs import Listing, fetch_listing
from bfxtwist.feed.rest import RequestFailed

BODY = b'[["BTCUSD","DOGE:USD"],["BTCF0:USTF0"],[["UST","USDt"],["DSH","DASH"]]]'


class Conf(Resource):
    """Answers with one body."""

    isLeaf = True

    def __init__(self, body: bytes, status: int = 200) -> None:
        super().__init__()
        self.body, self.status = body, status
        self.path = b""

    def render_GET(self, request: Request) -> Any:
        self.path = request.path
        request.setResponseCode(self.status)
        return self.body or NOT_DONE_YET


class PairsTests(SynchronousTestCase):
    """`fetch_listing`."""

    def fetch(self, conf: Conf, clock: Clock | None = None) -> "Deferred[Listing]":
        """From a server that answers so."""
        return Deferred.fromCoroutine(fetch_listing(StubTreq(conf), "http://exchange/v2", clock or Clock()))

    def test_pairs_of_all_kinds_and_common_names(self) -> None:
        """USDt is USDT to people."""
        conf = Conf(BODY)
        listing = self.successResultOf(self.fetch(conf))
        self.assertEqual(listing.pairs, {"BTCUSD", "DOGE:USD", "BTCF0:USTF0"})
        self.assertEqual(listing.names, {"USDT": "UST", "DASH": "DSH"})
        self.assertEqual(conf.path, b"/v2/conf/pub:list:pair:exchange,pub:list:pair:futures,pub:map:currency:sym")

    def test_what_is_no_listing(self) -> None:
        """Errors, other JSON, HTML."""
        for conf in (Conf(b"[]"), Conf(b"<html>"), Conf(b'["error",10020,"x"]', 500), Conf(b"[[],[],[[1]]]")):
            self.failureResultOf(self.fetch(conf), RequestFailed)

    def test_it_does_not_wait_for_long(self) -> None:
        """A start must not hang on it."""
        clock = Clock()
        fetching = self.fetch(Conf(b""), clock)
        clock.advance(5)
        self.failureResultOf(fetching, RequestFailed)
