"""Which representation a client gets, when it gets none, and that each body is made once."""

import gzip
import json
from collections.abc import Mapping
from typing import cast

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.test.requesthelper import DummyRequest

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.market import Market
from bfxtwist.out.responses import GZIP_FROM, Body, BookBodies, accepts_gzip, is_known, reply
from tests.out.served import change, live_book, moment

GZIP = {"Accept-Encoding": "gzip"}
PARTS = ["gzip", "*", "identity", "q=0", ";", ",", "=", '"', "br", " "]
LONG = Body(b"0123456789" * GZIP_FROM)


def ask(body: Body, fields: Mapping[str, str] | None = None, *, cached: bool = True) -> tuple[DummyRequest, bytes]:
    request = DummyRequest([b""])
    for name, value in (fields or {}).items():
        request.requestHeaders.addRawHeader(name, value)
    return request, reply(cast(IRequest, request), body, cached=cached)


def header(request: DummyRequest, name: str) -> str | None:
    values = request.responseHeaders.getRawHeaders(name)
    return values[0] if values else None


class AcceptEncodingTests(SynchronousTestCase):
    def test_gzip_when_it_is_asked_for(self) -> None:
        for text, expected in {
            "": False,
            "gzip": True,
            "GZIP": True,
            "x-gzip": True,
            "deflate, gzip, br, zstd": True,
            "br": False,
            "*": True,
            "gzip;q=0": False,
            "gzip; q=0.0, *": False,
            "*;q=0": False,
            "*;q=0, gzip": True,
            "identity": False,
            "identity, gzip": True,
            "identity;q=1, gzip;q=0.5": False,
            "identity;q=0.5, gzip;q=1": True,
            "identity;q=0": False,
            "gzip;q=2": False,
            "gzip;q=nonsense": False,
            "gzip;q=0.001": True,
            ", ,gzip": True,
        }.items():
            self.assertEqual(accepts_gzip(text), expected, text)

    @given(st.text(max_size=60) | st.lists(st.sampled_from(PARTS)).map("".join))
    @example('gzip;q="')
    def test_whatever_is_sent_is_answered(self, text: str) -> None:
        if accepts_gzip(text):
            self.assertTrue("gzip" in text.lower() or "*" in text)


class IfNoneMatchTests(SynchronousTestCase):
    def test_what_the_client_has_already(self) -> None:
        for text, expected in {
            "": False,
            '"a"': True,
            'W/"a"': True,
            "*": True,
            '"b"': False,
            '"b", "a"': True,
            '"b","c" , W/"a"': True,
            '"b", "c"': False,
            '"a-gzip"': False,
            '"A"': False,
            '"b" "a': False,
        }.items():
            self.assertEqual(is_known('"a"', text), expected, text)

    @given(st.text(max_size=60))
    def test_whatever_is_sent_is_answered(self, text: str) -> None:
        if is_known('"abcdef"', text):
            self.assertTrue("abcdef" in text or text == "*")


class ReplyTests(SynchronousTestCase):
    def test_the_representations_differ_and_so_do_their_tags(self) -> None:
        plain, plain_data = ask(LONG)
        zipped, zipped_data = ask(LONG, GZIP)
        self.assertEqual(gzip.decompress(zipped_data), plain_data)
        self.assertEqual((header(plain, "Content-Encoding"), header(zipped, "Content-Encoding")), (None, "gzip"))
        self.assertNotEqual(header(plain, "ETag"), header(zipped, "ETag"))
        for request, data in ((plain, plain_data), (zipped, zipped_data)):
            self.assertEqual(header(request, "Vary"), "Accept-Encoding")
            self.assertEqual(header(request, "Content-Length"), str(len(data)))
            self.assertRegex(header(request, "ETag") or "", r'^"[!-~]+"$')

    def test_what_is_known_is_not_sent_again(self) -> None:
        for fields in ({}, GZIP):
            first, _ = ask(LONG, fields)
            again, data = ask(LONG, {"If-None-Match": header(first, "ETag") or "", **fields})
            self.assertEqual((again.responseCode, data), (304, b""))
            for name in ("ETag", "Vary", "Cache-Control"):
                self.assertEqual(header(again, name), header(first, name))
            for name in ("Content-Type", "Content-Length", "Content-Encoding"):
                self.assertIsNone(header(again, name))

    def test_the_tag_of_one_representation_does_not_stand_for_the_other(self) -> None:
        plain, _ = ask(LONG)
        zipped, data = ask(LONG, {"If-None-Match": header(plain, "ETag") or "", **GZIP})
        self.assertTrue(data)
        self.assertEqual(header(zipped, "Content-Encoding"), "gzip")

    def test_lines_of_one_header_are_one_list(self) -> None:
        request = DummyRequest([b""])
        request.requestHeaders.setRawHeaders("If-None-Match", ['"x"', LONG.plain.etag.decode()])
        self.assertEqual(reply(cast(IRequest, request), LONG, cached=True), b"")

    def test_a_short_body_stays_plain(self) -> None:
        request, data = ask(Body(b"{}"), GZIP)
        self.assertEqual((data, header(request, "Content-Encoding")), (b"{}", None))
        self.assertEqual(header(request, "Vary"), "Accept-Encoding")

    def test_what_is_not_to_be_kept_has_no_tag(self) -> None:
        request, data = ask(LONG, {"If-None-Match": "*"}, cached=False)
        self.assertEqual((header(request, "ETag"), header(request, "Cache-Control"), data), (None, "no-store", LONG.data))


class BookBodiesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.market = Market()
        self.feed = live_book(self.market, levels=5)
        self.bodies = BookBodies()
        self.encoded: list[int | None] = []

    def count_documents(self, feed: BookFeed) -> None:
        make = feed.document

        def document(depth: int | None = None) -> bytes:
            self.encoded.append(depth)
            return make(depth)

        self.patch(feed, "document", document)

    def test_an_unchanged_book_is_made_once_for_each_depth(self) -> None:
        self.count_documents(self.feed)
        for depth in (None, 1, 1, None, 3, 1):
            self.bodies.get(self.feed, depth)
        self.assertEqual(self.encoded, [None, 1, 3])

    def test_a_depth_beyond_the_book_is_the_whole_book(self) -> None:
        self.assertIs(self.bodies.get(self.feed, 5), self.bodies.get(self.feed, None))
        self.assertIs(self.bodies.get(self.feed, 999), self.bodies.get(self.feed, None))
        self.assertIsNot(self.bodies.get(self.feed, 4), self.bodies.get(self.feed, None))

    def test_every_change_that_shows_makes_a_new_body(self) -> None:
        def shown() -> tuple[bytes, bytes]:
            body = self.bodies.get(self.feed, None)
            return body.data, body.plain.etag

        seen = [shown()]
        for happening in (
            lambda: change(self.feed),
            lambda: self.feed.silent(moment(3)),
            lambda: self.feed.lost("the connection broke", moment(4)),
            lambda: self.feed.syncing("subscribed", moment(5)),
        ):
            happening()
            seen.append(shown())
            self.assertEqual(seen[-1][0], self.feed.document())
        self.assertEqual([json.loads(data)["status"] for data, _ in seen], ["live", "live", "stale", "stale", "syncing"])
        # Lost for another reason than before shows nothing new: the same bytes, the same tag.
        self.assertEqual(len({etag for _, etag in seen}), len({data for data, _ in seen}))

    def test_a_reader_of_every_depth_does_not_fill_the_memory(self) -> None:
        feed = live_book(self.market, "tETHUSD", levels=200)
        self.count_documents(feed)
        for depth in range(1, 200):
            self.bodies.get(feed, depth)
        self.assertLessEqual(len(self.bodies._made[feed][1]), 16)

    def test_a_feed_that_is_gone_is_forgotten(self) -> None:
        self.bodies.get(self.feed, None)
        del self.feed
        self.market.books.clear()
        self.assertEqual(len(self.bodies._made), 0)
