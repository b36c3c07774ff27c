"""A resource that counts what it is asked, and the base of tests of the server under the routes."""

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from bfxtwist.out.site import Site
from tests.out.served import Client, TurningClock, site_of


class Counting(Resource):
    """Answers with the number of the request, or later when the path says so."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[bytes] = []
        self.waiting: list[Any] = []
        self.size = 0

    def render_GET(self, request: Any) -> bytes | int:
        self.paths.append(request.path)
        if request.path == b"/later":
            self.waiting.append(request)
            return NOT_DONE_YET
        if request.path == b"/broken":
            raise ZeroDivisionError
        return b"%b %d" % (request.path, len(self.paths)) + b"." * self.size


class SiteTestCase(SynchronousTestCase):
    """A site of a `Counting` resource, on a clock with turns."""

    def setUp(self) -> None:
        self.clock = TurningClock()
        self.resource = Counting()

    def site(self, **limits: Any) -> Site:
        return site_of(self.resource, self.clock, **limits)

    def lose(self, client: Client) -> None:
        client.channel.connectionLost(Failure(ConnectionDone()))
