"""Requests that are sent again and again: what their bytes mean is found out once for each connection.

    GET /book … ──► HttpChannel: lines, headers, Request, guard, Klein's routes ──► answer(request) ──► head and body
    GET /book … ────────────────────── the very same bytes ───────────────────────► answer(request) ──► head and body

A client that polls sends the same bytes on its connection each time. What they are parsed into, that the guard lets them
pass and which route they are matched to depends on nothing but these bytes, the connection and what the server was started
with; when its token changes, all is forgotten. So the request is kept, and its route asked again when the bytes come again;
the answer is made anew each time. Of 375,000 instructions for a book, reactor and socket included, 191,000 are left
(callgrind, ten connections, Python 3.11).

A client that changes its request each time, as one that sends a new If-None-Match does, takes the long way, and so does
whatever else is not the same to the last byte, comes in pieces, or is not answered at once. A property test holds a channel
that knows repetitions against one that does not.
"""

from typing import NamedTuple

from bfxtwist.out.http_channel import HttpChannel, Phase
from bfxtwist.out.request import Request
from bfxtwist.out.routes import Answer
from bfxtwist.out.sending import send

#: Longer heads are not kept: a thousand connections shall not take more than a few megabytes.
_LONGEST = 2048


class _Known(NamedTuple):
    head: bytes
    request: Request
    answer: Answer


class RepeatChannel(HttpChannel):
    """A connection that knows its last request, if it came in one piece and was answered at once."""

    _known: _Known | None = None
    _segment = b""  # the bytes of the request that is being read, if they came in one piece
    _repeated = False  # whether what waits or is served is the known request

    def dataReceived(self, data: bytes) -> None:
        """The known request, or bytes of one or more others."""
        if self.phase is Phase.IDLE and data:
            if self._known is not None and self._known.head == data:
                self._receive_again()
                return
            self._segment = data if _is_one_head(data) else b""
        super().dataReceived(data)

    def _receive_again(self) -> None:
        self.resetTimeout()
        self.site.is_served(self)
        self._repeated = True
        if self._must_wait():
            self.paused = True
        else:
            self._serve()

    def allContentReceived(self) -> None:
        """A request is complete."""
        self.requests[-1].head, self._segment = self._segment, b""
        super().allContentReceived()

    def answered_by(self, request: Request, answer: Answer) -> None:
        """Know it when it comes again, unless the connection ends or more than the answer is expected."""
        if request.head and self.persistent and not request.requestHeaders.hasHeader(b"Expect"):
            self._known = _Known(request.head, request, answer)

    def forget(self) -> None:
        """Parse what comes next, whatever it is. A repetition that waits for its turn has been let in."""
        if self._known is not None:
            self._known = self._known._replace(head=b"")

    def _serve(self) -> None:
        if not self._repeated or self._known is None:
            super()._serve()
            return
        self._repeated = False
        response = self._known.request.response(self._known.answer)
        self.site.log(self._known.request)
        self.phase = Phase.IDLE
        self.site.waits(self)
        send(self.transport, response)

    def _end(self) -> None:
        self._known = None
        super()._end()


def _is_one_head(data: bytes) -> bool:
    return len(data) <= _LONGEST and data.find(b"\r\n\r\n") == len(data) - 4
