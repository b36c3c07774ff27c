"""Faults switched on and off over HTTP while the exchange runs, for whoever tests a client in another language.

    GET    /faults               {"late-ack":13.0,"quiet":true}    those that are on
    PUT    /faults/drop=rst      the same, after it                NAME or NAME=VALUE, as with --fault
    DELETE /faults/late-ack      the same; without a name, all are off

    A mistake is 404 (no such fault) or 400 (no such value), and a line of text that names the fix.

This is no part of the exchange's protocol, and none of its limits and faults are for it.
"""

from collections.abc import Callable

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import Request

from bfxtwist.exchange.faults import Faults, UnknownFault


class Control(Resource):
    """`/faults`, and what is below it."""

    isLeaf = True

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def render_GET(self, request: Request) -> bytes:
        """What is on."""
        return self._after(request, lambda: None)

    def render_PUT(self, request: Request) -> bytes:
        """Switch one on; one that happens once happens at the next chance."""
        return self._after(request, lambda: self._faults.set_from(_name(request)))

    def render_DELETE(self, request: Request) -> bytes:
        """Switch one off, or all."""
        return self._after(request, lambda: self._faults.clear(_name(request) or None))

    def _after(self, request: Request, change: Callable[[], None]) -> bytes:
        try:
            change()
        except ValueError as mistake:
            request.setResponseCode(404 if isinstance(mistake, UnknownFault) else 400)
            request.setHeader(b"content-type", b"text/plain; charset=utf-8")
            return f"{mistake}\n".encode()
        request.setHeader(b"content-type", b"application/json; charset=utf-8")
        return msgspec.json.encode(self._faults.on)


def _name(request: Request) -> str:
    return b"/".join(request.postpath or []).decode("utf-8", "replace")
