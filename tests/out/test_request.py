"""The head of a response."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from bfxtwist.out.guard import PAGE_POLICY, SECURITY_HEADERS
from bfxtwist.out.request import head_of
from tests.out.served import responses


class HeadTests(SynchronousTestCase):
    def test_what_protects_the_reader_is_there_unless_the_answer_has_its_own(self) -> None:
        (response,) = responses(head_of(b"HTTP/1.1", 204, b"No Content", Headers()))
        self.assertEqual(response.status, 204)
        for name, value in SECURITY_HEADERS.items():
            self.assertEqual(response.headers.pop(name.decode()), value.decode())
        self.assertRegex(response.headers.pop("Date"), r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
        self.assertEqual(response.headers, {})
        head = head_of(b"HTTP/1.1", 200, b"OK", Headers({b"content-security-policy": [PAGE_POLICY]}))
        self.assertEqual(head.count(b"Content-Security-Policy: "), 1)
        self.assertIn(b"Content-Security-Policy: " + PAGE_POLICY + b"\r\n", head)

    def test_every_value_of_a_header(self) -> None:
        head = head_of(b"HTTP/1.1", 200, b"OK", Headers({b"Vary": [b"Origin", b"Accept-Encoding"]}))
        self.assertIn(b"\r\nVary: Origin\r\nVary: Accept-Encoding\r\n", head)

    @given(st.binary(max_size=40))
    def test_no_value_makes_a_header_of_its_own(self, value: bytes) -> None:
        heads = [head_of(b"HTTP/1.1", 200, b"OK", Headers({b"X": [text]})) for text in (b"", value)]
        self.assertEqual(heads[0].count(b"\n"), heads[1].count(b"\n"))
