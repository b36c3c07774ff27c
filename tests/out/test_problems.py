"""Problem details say what RFC 9457 asks."""

import json
from typing import cast

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.test.requesthelper import DummyRequest

from bfxtwist.out.problems import Problem, not_allowed


class ProblemTests(SynchronousTestCase):
    def test_what_the_status_says_needs_no_type(self) -> None:
        document = json.loads(Problem(404, "there is nothing at /x").document("/x"))
        expected = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is nothing at /x"}
        self.assertEqual(document, {**expected, "instance": "/x"})

    def test_a_kind_and_members_say_more(self) -> None:
        document = json.loads(Problem(503, "why", kind="book-not-live", state="stale").document())
        self.assertEqual(document["type"], "urn:bfxtwist:problem:book-not-live")
        self.assertEqual((document["title"], document["state"], document["status"]), ("book not live", "stale", 503))

    def test_the_answer_carries_status_type_and_headers(self) -> None:
        request = DummyRequest([b""])
        request.uri = b"/book?pair=" + b"\xb0" * 500
        body = not_allowed("POST", "GET, HEAD").answer(cast(IRequest, request))
        headers = request.responseHeaders
        self.assertEqual(request.responseCode, 405)
        self.assertEqual(headers.getRawHeaders(b"Allow"), [b"GET, HEAD"])
        self.assertEqual(headers.getRawHeaders(b"Content-Type"), [b"application/problem+json"])
        self.assertEqual(headers.getRawHeaders(b"Cache-Control"), [b"no-store"])
        self.assertEqual(headers.getRawHeaders(b"Content-Length"), [b"%d" % len(body)])
        self.assertLessEqual(len(json.loads(body)["instance"]), 200)
