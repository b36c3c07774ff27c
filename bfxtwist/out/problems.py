"""What a client is told instead of what it asked for: problem details, for programs and for people (RFC 9457).

    {"type":"about:blank","title":"Not Found","status":404,"detail":"there is nothing at /bok","instance":"/bok"}

`status` is the HTTP status, as the RFC has it; the state of a feed is in the member `state`.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from twisted.web.iweb import IRequest

from bfxtwist.out.responses import as_json

MEDIA_TYPE = b"application/problem+json"

#: Seconds after which to ask again for what is on its way: a feed that resubscribes is live again within a few.
RETRY_AFTER = 2

#: Names of RFC 9110 that the standard library has under older ones, depending on its version.
_TITLES = {413: "Content Too Large"}

#: How much of a request's target is repeated in the answer.
_INSTANCE_LENGTH = 200


class Problem(Exception):
    """Raise it in a route, or have it answered with `answer`.

    `kind` names the problem where the status alone does not (it becomes `type`), `members` says more than `detail` does.
    """

    def __init__(
        self, status: int, detail: str, *, kind: str = "", headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.type = f"urn:bfxtwist:problem:{kind}" if kind else "about:blank"
        self.title = kind.replace("-", " ") if kind else title_of(status)
        self.headers = dict(headers or {})
        self.members = members

    def document(self, instance: str | None = None) -> bytes:
        """The JSON text."""
        about = {"type": self.type, "title": self.title, "status": self.status, "detail": self.detail}
        if instance is not None:
            about["instance"] = instance[:_INSTANCE_LENGTH]
        return as_json({**about, **self.members})

    def answer(self, request: IRequest) -> bytes:
        """Set the status and the headers of `request`, and return the body."""
        body = self.document(request.uri.decode("ascii", "backslashreplace"))
        request.setResponseCode(self.status, title_of(self.status).encode())
        for name, value in {"Cache-Control": "no-store", **self.headers}.items():
            request.setHeader(name, value)
        request.setHeader(b"Content-Type", MEDIA_TYPE)
        request.setHeader(b"Content-Length", b"%d" % len(body))
        return body


def title_of(status: int) -> str:
    """The name of an HTTP status."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def not_allowed(method: str, allowed: str) -> Problem:
    """405, with what is allowed."""
    return Problem(405, f"{method} is not possible here: use one of {allowed}", headers={"Allow": allowed})
