"""A small market to serve, and the other end of a connection to the site, both in memory."""

from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.resource import IResource

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.market import Market
from bfxtwist.core.messages import BookUpdate, ChannelName, Row, Rows
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trade_feed import TradeFeed
from bfxtwist.out.guard import Guard
from bfxtwist.out.http_channel import HttpChannel, HttpLimits
from bfxtwist.out.site import Site

START = 1_790_134_414_850_000  # µs: 2026-09-23T03:33:34.850Z


def moment(seconds: float = 0) -> Moment:
    """A moment so long after the start."""
    return Moment(seconds, START + int(seconds * 1_000_000))


def rows(levels: int) -> list[Row]:
    """A snapshot of so many levels a side, with numbers that a float would not keep."""
    bids: list[Row] = [(b"%d.50" % (6000 - level), b"%d" % (level + 1), b"%d.10" % (level + 1)) for level in range(levels)]
    asks: list[Row] = [(b"%d.50" % (6001 + level), b"%d" % (level + 1), b"-%de-7" % (level + 1)) for level in range(levels)]
    return bids + asks


def carry(market: Market, symbol: str, channel: ChannelName = ChannelName.BOOK) -> BookFeed | TradeFeed:
    """A feed that has nothing yet."""
    feed = market.carry(Subscription(channel, symbol), moment())
    assert isinstance(feed, BookFeed | TradeFeed)
    return feed


def live_book(market: Market, symbol: str = "tBTCUSD", levels: int = 2) -> BookFeed:
    """A book that has had its snapshot."""
    feed = carry(market, symbol)
    assert isinstance(feed, BookFeed)
    feed.snapshot(Rows(1, rows(levels), 7, None), moment(1))
    return feed


def change(feed: BookFeed, price: bytes = b"5990.5", seq: int = 8) -> None:
    """An update of one level."""
    feed.update(BookUpdate.of(1, (price, b"1", b"0.25"), seq, None), moment(2))


class TurningClock(Clock):
    """A clock with turns, as a reactor has them: what is called later from within one comes in the next."""

    def turn(self) -> None:
        """Call what is due, once."""
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        for call in due:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class Response(NamedTuple):
    """One response as it went over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A connection to a site."""

    def __init__(self, site: Site) -> None:
        self.transport = StringTransport(IPv4Address("TCP", "127.0.0.1", 8080), IPv4Address("TCP", "127.0.0.1", 50000))
        channel = site.buildProtocol(self.transport.getPeer())
        self.refused = channel is None
        if channel is not None:
            self.channel: HttpChannel = channel
            channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.channel.dataReceived(data)

    def get(self, path: str = "/", *headers: str, method: str = "GET", host: str = "localhost") -> Response:
        """Send a whole request, and return the last response."""
        self.send(request(path, *headers, method=method, host=host))
        return responses(self.transport.value(), head=method == "HEAD")[-1]

    @property
    def received(self) -> list[Response]:
        """All responses so far."""
        return responses(self.transport.value())

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection."""
        return self.transport.disconnecting

    @property
    def reading(self) -> bool:
        """Whether the server takes more bytes."""
        return self.transport.producerState == "producing"


def request(path: str = "/", *headers: str, method: str = "GET", host: str = "localhost") -> bytes:
    """The bytes of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


def responses(data: bytes, *, head: bool = False) -> list[Response]:
    """Take apart what a server has sent. `head`: the answers are to HEAD, and have no body."""
    found = []
    while data:
        top, data = data.split(b"\r\n\r\n", 1)
        lines = top.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        length = 0 if head else int(headers.get("Content-Length", 0))
        found.append(Response(int(lines[0].split()[1]), headers, data[:length]))
        data = data[length:]
    return found


def site_of(resource: IResource, clock: Clock, guard: Guard | None = None, **limits: Any) -> Site:
    """A site in memory."""
    return Site(resource, clock, guard or Guard(), HttpLimits(**limits))
