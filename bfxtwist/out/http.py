"""What is served over HTTP: the routes, and nothing of the server under them.

    GET /book      the book, or a problem that says why there is none to trust
    GET /books     the books that are carried, with their states
    GET /livez     200: the process answers
    GET /readyz    200 if every feed is live and every other check passes, 503 with what is not ready
    GET /status    everything that is known about the daemon, as one JSON object
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.moment import Moment, iso
from bfxtwist.core.symbols import COMMON_NAMES
from bfxtwist.out.problems import RETRY_AFTER, Problem, not_allowed
from bfxtwist.out.query import choose, query, whole_number
from bfxtwist.out.responses import Body, BookBodies, as_json, reply
from bfxtwist.out.routes import Answer, Routes, SlowAnswer

_log = Logger()

#: More levels than any book has.
_DEEPEST = 999_999


class _NotReady(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `GET /readyz` says of a feed or a check that is not ready. A check has no state, nor since when."""

    what: str
    state: FeedState | None = None
    since: str | None = None
    reason: str


class HttpApi:
    """The routes over a market. Other parts of the daemon add theirs, and resources, status sections, readiness checks."""

    def __init__(self, market: Market, moment: Callable[[], Moment], version: str) -> None:
        #: The exchange's codes of common names, for `?pair=`. To be set anew when the exchange has told its own.
        self.names: Mapping[str, str] = COMMON_NAMES
        self._market = market
        self._moment = moment
        self._version = version
        self._started = moment()
        self._bodies = BookBodies()
        self._sections: dict[str, Callable[[], Any]] = {}
        self._checks: dict[str, Callable[[], str | None]] = {}
        self._plain: set[str] = set()  # the endpoints that answer at once
        self._app = Klein()
        self._app.url_map.merge_slashes = False  # no redirects: they would repeat the client's Host header
        self._add_routes()

    def _add_routes(self) -> None:
        for path, route in {
            "/book": self._book,
            "/books": self._books,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/status": self._status,
        }.items():
            self.add_route(path, route)
        self._app.handle_errors(Problem)(_answer)
        self._app.handle_errors(HTTPException)(_unroutable)
        self._app.handle_errors(Exception)(_failed)

    def resource(self) -> Routes:
        """The root of the site."""
        return Routes(self._app, self._plain)

    @property
    def paths(self) -> set[str]:
        """Every path that is answered."""
        return {str(rule.rule) for rule in self._app.url_map.iter_rules()}

    def add_route(self, path: str, answer: Answer) -> None:
        """Have GET of `path` answered by `answer`, which sets the Content-Length (as `reply` does) or raises Problem."""
        # Klein serves every method unless they are named; GET brings HEAD with it.
        self._app.route(path, methods=["GET"], endpoint=path)(_told(answer))
        self._plain.add(path)

    def add_slow_route(self, path: str, answer: SlowAnswer) -> None:
        """As `add_route`, for an `answer` that takes its time."""
        self._app.route(path, methods=["GET"], endpoint=path)(answer)

    def mount(self, path: str, resource: IResource) -> None:
        """Serve `resource` at `path`."""
        self._app.route(path, methods=["GET"], endpoint=path)(lambda request: resource)

    def add_status(self, name: str, section: Callable[[], Any]) -> None:
        """Show what `section` returns (anything that msgspec makes JSON of) as `name` in `GET /status`."""
        if name in self._sections or name in ("version", "started", "uptime_s", "feeds"):
            raise ValueError(f"/status has {name} already")
        self._sections[name] = section

    def add_readiness(self, name: str, check: Callable[[], str | None]) -> None:
        """Be ready only while `check` returns None; otherwise it returns why not."""
        if name in self._checks:
            raise ValueError(f"/readyz asks {name} already")
        self._checks[name] = check

    def _book(self, request: IRequest) -> bytes:
        asked = query(request, "pair", "depth", "stale")
        depth, stale_is_ok = _depth(asked), _stale_is_ok(asked)
        feed = choose(self._market.books, asked.get("pair"), self.names, "book", "book")
        if feed.status_now is not FeedState.LIVE and not (stale_is_ok and feed.counts.snapshots):
            raise _not_live(feed)
        return reply(request, self._bodies.get(feed, depth), cached=True)

    def _books(self, request: IRequest) -> bytes:
        query(request)
        return _json(request, {"books": [_entry(feed) for feed in self._market.books.values()]}, cached=True)

    def _livez(self, request: IRequest) -> bytes:
        query(request)
        return _json(request, {"alive": True})

    def _readyz(self, request: IRequest) -> bytes:
        query(request)
        not_ready = list(self._not_ready())
        if not_ready:
            named = ", ".join(entry.what for entry in not_ready)
            headers = {"Retry-After": str(RETRY_AFTER)}
            raise Problem(503, f"not ready: {named}", kind="not-ready", headers=headers, ready=False, not_ready=not_ready)
        return _json(request, {"ready": True})

    def _not_ready(self) -> Iterable[_NotReady]:
        for feed in self._market.feeds():
            if feed.status_now is not FeedState.LIVE:
                since = iso(feed.since.wall // 1000)
                yield _NotReady(what=str(feed.subscription), state=feed.status_now, since=since, reason=feed.reason_now)
        for name, check in self._checks.items():
            if reason := check():
                yield _NotReady(what=name, reason=reason)

    def _status(self, request: IRequest) -> bytes:
        query(request)
        about = {
            "version": self._version,
            "started": iso(self._started.wall // 1000),
            "uptime_s": round(self._moment().monotonic - self._started.monotonic, 3),
            "feeds": [feed.status() for feed in self._market.feeds()],
        }
        return _json(request, about | {name: section() for name, section in self._sections.items()})


def _depth(asked: Mapping[str, str]) -> int | None:
    return whole_number(asked["depth"], "depth", "levels", _DEEPEST) if "depth" in asked else None


def _stale_is_ok(asked: Mapping[str, str]) -> bool:
    if asked.get("stale", "ok") != "ok":
        raise Problem(400, f"stale {asked['stale']!r} means nothing: use stale=ok or leave it out")
    return "stale" in asked


def _not_live(feed: BookFeed) -> Problem:
    state, reason, since = feed.status_now.value, feed.reason_now, _since(feed)
    return Problem(
        503,
        f"the book of {feed.name} has been {state} since {since}: {reason or 'no snapshot has come yet'}",
        kind="book-not-live",
        headers={"Retry-After": str(RETRY_AFTER)},
        symbol=feed.name,
        state=state,
        since=since,
        reason=reason,
    )


def _since(feed: BookFeed) -> str:
    """Since when the book is what it is. One that is crossed for the moment became so with its last frame."""
    moment = feed.since if feed.status_now is feed.state or feed.updated is None else feed.updated
    return iso(moment.wall // 1000)


def _entry(feed: BookFeed) -> dict[str, Any]:
    return {
        "symbol": feed.name,
        "exchange_symbol": feed.subscription.symbol,
        "precision": feed.subscription.precision,
        "frequency": feed.subscription.frequency,
        "length": feed.subscription.length,
        "status": feed.status_now.value,
        "since": _since(feed),
        "reason": feed.reason_now,
        "url": f"/book?pair={feed.name}",
    }


def _json(request: IRequest, value: Any, *, cached: bool = False) -> bytes:
    return reply(request, Body(as_json(value)), cached=cached)


def _told(answer: Answer) -> Answer:
    """The same, and what it raises is told to the client."""

    def told(request: IRequest) -> bytes:
        try:
            return answer(request)
        except Problem as problem:
            return problem.answer(request)
        except Exception:  # noqa: BLE001 - the boundary: a bug is logged and answered 500, and the server goes on
            return _failed(request, Failure())

    return told


def _answer(request: IRequest, failure: Failure) -> bytes:
    assert isinstance(failure.value, Problem)
    return failure.value.answer(request)


def _unroutable(request: IRequest, failure: Failure) -> bytes:
    """No such path, or not by this method. Werkzeug would answer in HTML."""
    error = failure.value
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted({*(error.valid_methods or ()), "OPTIONS"}))
        if request.method != b"OPTIONS":
            return not_allowed(request.method.decode(), allowed).answer(request)
        request.setResponseCode(204)
        request.setHeader(b"Allow", allowed.encode())
        return b""
    path = request.path.decode("ascii", "backslashreplace")
    return Problem(getattr(error, "code", None) or 500, f"there is nothing at {path[:100]}").answer(request)


def _failed(request: IRequest, failure: Failure) -> bytes:
    """A bug: logged, and answered without a word of what it was."""
    _log.failure("{method} {path} failed", failure, method=request.method, path=request.path)
    return Problem(500, "this is a fault of the server, and is in its log").answer(request)
