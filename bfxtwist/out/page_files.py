"""The page at `/`: plain files of the package, served as they are. No build step, nothing from elsewhere.

They do not change while the daemon runs, so each is read, hashed and compressed once.
"""

from importlib.resources import files

from twisted.web.resource import Resource
from twisted.web.server import Request

from bfxtwist.out.guard import PAGE_POLICY
from bfxtwist.out.http import HttpApi
from bfxtwist.out.responses import Body, reply

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}


class PageFile(Resource):
    """One file."""

    isLeaf = True

    def __init__(self, body: Body, media_type: bytes) -> None:
        super().__init__()
        self._body = body
        self._media_type = media_type

    def render_GET(self, request: Request) -> bytes:
        """The file, or 304 to who has it."""
        request.setHeader(b"Content-Security-Policy", PAGE_POLICY)
        return reply(request, self._body, cached=True, media_type=self._media_type)


def serve_page(api: HttpApi) -> None:
    """The page at `/`, and what it is made of below `/page/`."""
    for file in files("bfxtwist.out").joinpath("page").iterdir():
        media_type = _TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            api.mount(path, PageFile(Body(file.read_bytes()), media_type))
