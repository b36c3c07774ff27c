"""The page's files over HTTP, in memory."""

import re
from importlib.resources import files

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.market import Market
from bfxtwist.out.guard import PAGE_POLICY
from bfxtwist.out.http import HttpApi
from bfxtwist.out.page_files import serve_page
from tests.out.served import Client, Response, moment, site_of


class PageFilesTest(SynchronousTestCase):
    """What a browser asks for."""

    def setUp(self) -> None:
        api = HttpApi(Market(), moment, "0")
        serve_page(api)
        self.site = site_of(api.resource(), Clock(), requests_per_turn=1000)

    def get(self, path: str, *headers: str, method: str = "GET") -> Response:
        """Ask for it."""
        return Client(self.site).get(path, *headers, method=method)

    def test_everything_is_served(self) -> None:
        """The page, and whatever it and its modules ask for, each as what it is."""
        self.assertEqual(self.get("/?pair=BTC-USD").headers["Content-Type"], "text/html; charset=utf-8")
        wanted = {f"/{path}" for path in re.findall(r'(?:href|src)="(page/[^"]+)"', self.get("/").body.decode())}
        self.assertEqual(len(wanted), 2)
        seen: set[str] = set()
        while wanted - seen:
            path = (wanted - seen).pop()
            seen.add(path)
            response = self.get(path)
            self.assertEqual(response.status, 200, path)
            kind = "text/css; charset=utf-8" if path.endswith("css") else "text/javascript; charset=utf-8"
            self.assertEqual(response.headers["Content-Type"], kind)
            wanted |= {f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', response.body.decode())}
        kept = {f"/page/{file.name}" for file in files("bfxtwist.out").joinpath("page").iterdir()} - {"/page/index.html"}
        self.assertEqual(seen, kept, "nothing is shipped that nobody asks for")

    def test_nothing_from_elsewhere(self) -> None:
        """The policy forbids it, and no file names another host or writes scripts or styles inline."""
        for file in files("bfxtwist.out").joinpath("page").iterdir():
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"https?://|@import|style=\"|<script>|<style>|innerHTML|eval\(", file.name)
        for path in ("/", "/page/page.js"):
            policy = self.get(path).headers["Content-Security-Policy"]
            self.assertIn("script-src 'self'", policy)
            self.assertNotIn("unsafe", policy)

    def test_cached(self) -> None:
        """A browser asks whether it has changed, and is told that it has not."""
        etag = self.get("/page/page.js").headers["ETag"]
        known = self.get("/page/page.js", f"If-None-Match: {etag}")
        self.assertEqual((known.status, known.headers["Content-Security-Policy"]), (304, PAGE_POLICY.decode()))
        # A cache would take it for the length of what it has (RFC 9110, section 8.6).
        self.assertNotIn("Content-Length", known.headers)
        self.assertEqual(self.get("/page/page.js", "Accept-Encoding: gzip").headers["Content-Encoding"], "gzip")

    def test_methods(self) -> None:
        """HEAD as GET, nothing else; and no other paths."""
        self.assertEqual(self.get("/", method="HEAD").headers["Content-Type"], "text/html; charset=utf-8")
        self.assertEqual(self.get("/", method="DELETE").status, 405)
        for path in ("/page/", "/page/index.html", "/page/..%2fguard.py", "/page/page.js/more"):
            self.assertEqual(self.get(path).status, 404, path)
