"""One request, from its guard to the bytes of its answer."""

import re
import time
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.http_headers import Headers

from bfxtwist.out.guard import SECURITY_HEADERS
from bfxtwist.out.problems import Problem, not_allowed
from bfxtwist.out.routes import Answer

if TYPE_CHECKING:
    from bfxtwist.out.site import Site

_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(/.*)?", re.IGNORECASE)

_SECURITY_LINES = {name: b"%b: %b\r\n" % (name, value) for name, value in SECURITY_HEADERS.items()}


class Request(server.Request):
    """A request that has passed the guard before any resource sees it."""

    site: "Site"
    method: bytes
    head = b""  # its bytes as they came, if they came in one piece

    def gotLength(self, length: int | None) -> None:
        """A request has no body: the channel has refused those that do."""
        self.content = BytesIO()

    def process(self) -> None:
        """Find the resource and let it answer, if the guard agrees."""
        self.site = self.channel.site  # type: ignore[attr-defined]  # an HttpChannel's
        self._take_absolute_form()
        preflight = self.site.guard.tell_origins(self)
        problem = self._malformed() or (None if preflight else self.site.guard.refusal(self))
        if problem is not None:
            self._finish_with(problem)
        elif preflight or (self.path == b"*" and self.method == b"OPTIONS"):
            self.setResponseCode(http.NO_CONTENT)
            self.finish()
        else:
            self._serve()

    def _take_absolute_form(self) -> None:
        """`GET http://localhost:8080/book`, as to a proxy, must be understood (RFC 9112, section 3.2.2).

        So must a request of HTTP/1.0 without a Host. No web page can send one.
        """
        if absolute := _ABSOLUTE.fullmatch(self.path):
            self.requestHeaders.setRawHeaders(b"Host", [absolute[1]])
            self.path = absolute[2] or b"/"
        elif self.clientproto == b"HTTP/1.0" and not self.requestHeaders.hasHeader(b"Host"):
            self.requestHeaders.setRawHeaders(b"Host", [b"localhost"])

    def _malformed(self) -> Problem | None:
        if self.path == b"*":
            return None if self.method == b"OPTIONS" else not_allowed(self.method.decode(), "OPTIONS")
        if not self.method.isupper():  # methods are case-sensitive, but Klein's router takes `get` for GET
            return Problem(501, "there is no such method: methods are written in capitals")
        if not self.path.startswith(b"/"):
            return Problem(400, "the target of the request does not begin with a slash")
        try:
            unquote_to_bytes(self.path).decode()
        except UnicodeDecodeError:
            return Problem(400, "the path is not UTF-8")
        return Problem(404, "the path has an empty part") if b"//" in self.path else None

    def _serve(self) -> None:
        try:
            answer = self.site.route_of(self.method, self.path)
            if answer is None:
                self.prepath: list[bytes] = []
                self.postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
                self.render(self.site.getResourceFor(self))
            else:
                self.channel.answered_by(self, answer)  # type: ignore[attr-defined]  # an HttpChannel's
                self.write(answer(self))
                self.finish()
        except Exception:  # noqa: BLE001 - the boundary: a bug in a resource is logged and answered 500, and the server goes on
            self.processingFailed(Failure())

    def response(self, answer: Answer) -> bytes:
        """The whole response to the same request once more: what has changed is what `answer` says now."""
        self.responseHeaders = Headers()
        self.code, self.code_message = http.OK, b"OK"
        self.site.guard.tell_origins(self)
        body = answer(self)
        if not self.responseHeaders.hasHeader(b"Content-Length") and self.code not in http.NO_BODY_CODES:
            self.setHeader(b"Content-Length", b"%d" % len(body))
        head = head_of(self.clientproto, self.code, self.code_message, self.responseHeaders)
        return head if self.method == b"HEAD" or self.code in http.NO_BODY_CODES else head + body

    def processingFailed(self, reason: Failure) -> Failure:
        """A bug: logged, and answered without a word of what it was."""
        self._log.failure("{method} {path} failed", reason, method=self.method, path=self.path)
        if self.startedWriting:
            self.channel.loseConnection()  # half an answer cannot be taken back, only cut
        else:
            self._finish_with(Problem(500, "this is a fault of the server, and is in its log"))
        return reason

    def _finish_with(self, problem: Problem) -> None:
        self.write(problem.answer(self))
        self.finish()


def head_of(version: bytes, code: int, reason: bytes, headers: Headers) -> bytes:
    """The head of a response: the headers given, the date, and of the `SECURITY_HEADERS` those that are not given."""
    given = dict(headers.getAllRawHeaders())
    lines = [b"%b %d %b\r\n" % (version, code, reason), _date_line(int(time.time()))]
    lines += [line for name, line in _SECURITY_LINES.items() if name not in given]
    lines += [b"%b: %b\r\n" % (name, value) for name, values in given.items() for value in values]
    return b"".join([*lines, b"\r\n"])


@lru_cache(maxsize=1)
def _date_line(second: int) -> bytes:
    return b"Date: %b\r\n" % http.datetimeToString(second)
