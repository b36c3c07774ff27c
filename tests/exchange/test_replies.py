"""What every answer over REST has."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from bfxtwist.exchange.replies import HTML, reply


class ReplyTest(SynchronousTestCase):
    def head(self, request: Any) -> tuple[int, list[bytes], list[bytes]]:
        """Status, type and length."""
        headers = request.responseHeaders
        return request.responseCode, headers.getRawHeaders(b"content-type"), headers.getRawHeaders(b"content-length")

    def test_json_unless_it_is_said_to_be_something_else(self) -> None:
        """Bytes are counted, not letters: a client would wait for those that are missing, or leave one out."""
        body = "[\"ä\"]".encode()
        for more, kind in (((), b"application/json; charset=utf-8"), ((HTML,), b"text/html; charset=utf-8")):
            request: Any = DummyRequest([b""])
            self.assertEqual(reply(request, 429, body, *more), body)
            self.assertEqual(self.head(request), (429, [kind], [b"6"]))
