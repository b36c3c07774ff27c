"""The page of a daemon with a token in a real browser, which keeps it; and what the pages of strangers make of that."""

from typing import Any

from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.page.test_page import _STATE, PageTest, reactor

TOKEN = "0123456789abcdef"

#: Every way in which a page can have its browser ask somebody else. `URL` is put in.
_ATTEMPTS = """Promise.all([
    fetch("URL/book").then((answer) => answer.text(), () => "nothing"),
    fetch("URL/book", {credentials: "include"}).then((answer) => answer.text(), () => "nothing"),
    fetch("URL/book", {credentials: "include", mode: "no-cors"}).then((answer) => answer.text(), () => "nothing"),
    ...["script", "img", "iframe"].map((name) => new Promise((done) => {
        const element = document.createElement(name);
        element.onload = () => done(name === "iframe" ? "nothing" : "loaded");
        element.onerror = () => done("nothing");
        element.src = "URL/book";
        document.body.append(element);
    })),
    new Promise((done) => {
        const socket = new WebSocket("URL/ws/2".replace("http", "ws"));
        socket.onmessage = ({data}) => done(data);
        socket.onerror = () => done("nothing");
    }),
])"""


class _Strangers(Resource):
    """A page of somebody else."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """Nothing but a body to put things in."""
        request.setHeader("Content-Type", "text/html")
        return b"<!doctype html><title>strange</title><body><a id=link>the book</a>"


class TokenTest(PageTest):
    """With `--token-file`."""

    timeout = 40

    async def page_with_token(self) -> None:
        """Come to the page as who has typed the token in; by a URL, since no window has a prompt without a screen."""
        await self.page(live=False, token=TOKEN.encode())
        self.assertEqual(set(self.served.site.answered), {401})
        await self.browser.complaints()  # of that
        await self.browser.get(self.served.url.replace("//", f"//anybody:{TOKEN}@"))
        await self.becomes(_STATE, "live")

    async def test_page(self) -> None:
        """The browser sends the token with what the page asks for, its WebSocket too; also when it comes again."""
        await self.page_with_token()
        await self.becomes("document.getElementById('version').textContent", "0")
        await self.browser.press("r")
        await self.becomes("location.search.includes('rows=25')", True)
        await self.assert_no_complaints()
        await self.browser.get(f"{self.served.url}/?rows=100")
        await self.becomes(_STATE, "live")
        await self.assert_no_complaints()

    async def test_strangers(self) -> None:
        """The page of another origin has nothing of what the browser may read. A link on it leads to the page."""
        await self.page_with_token()
        port = reactor.listenTCP(0, Site(_Strangers()), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        for host in ("127.0.0.1", "localhost"):  # the same site for a browser, and another
            await self.browser.get("about:blank")
            await deferLater(reactor, 0.5, lambda: None)
            served = self.served.site.answered[200]
            await self.browser.get(f"http://{host}:{port.getHost().port}/")
            got = await self.browser.js(_ATTEMPTS.replace("URL", self.served.url))
            self.assertEqual([text or "nothing" for text in got], ["nothing"] * 7, host)
            self.assertEqual(self.served.site.answered[200], served, host)
            await self.browser.js(f"(link.href = '{self.served.url}/', link.click(), 0)")
            await self.becomes(_STATE, "live")
