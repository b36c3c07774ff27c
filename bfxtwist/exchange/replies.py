"""What every answer over REST has: a status, a type and a length."""

from twisted.web.server import Request

JSON = b"application/json; charset=utf-8"
HTML = b"text/html; charset=utf-8"


def reply(request: Request, status: int, body: bytes, content_type: bytes = JSON) -> bytes:
    """Set the head of an answer, and return its body."""
    request.setResponseCode(status)
    request.setHeader(b"content-type", content_type)
    request.setHeader(b"content-length", b"%d" % len(body))
    return body
