"""The page at `/`: plain files of the package, served as they are. No build step, nothing from elsewhere.

They do not change while the daemon runs, so each is read, hashed and compressed once.
"""

from importlib.resources import files

from twisted.web.iweb import IRequest

from bfxtwist.out.guard import PAGE_POLICY
from bfxtwist.out.http import HttpApi
from bfxtwist.out.responses import Body, reply
from bfxtwist.out.routes import Answer

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}


def _page_file(body: Body, media_type: bytes) -> Answer:
    def answer(request: IRequest) -> bytes:
        request.setHeader(b"Content-Security-Policy", PAGE_POLICY)
        return reply(request, body, cached=True, media_type=media_type)

    return answer


def serve_page(api: HttpApi) -> None:
    """The page at `/`, and what it is made of below `/page/`."""
    for file in files("bfxtwist.out").joinpath("page").iterdir():
        media_type = _TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            api.add_route(path, _page_file(Body(file.read_bytes()), media_type))
