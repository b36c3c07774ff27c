"""`GET /openapi.json`: what the HTTP interface is, for programs that make clients, tests and documentation of it.

The document is kept by hand beside this file; a test compares its paths with the routes that there are.
"""

import json
from importlib.resources import files

from twisted.web.iweb import IRequest

from bfxtwist.out.http import HttpApi
from bfxtwist.out.query import query
from bfxtwist.out.responses import Body, reply


def serve_openapi(api: HttpApi, version: str) -> None:
    """The document, as that of this version."""
    document = json.loads(files("bfxtwist.out").joinpath("openapi.json").read_bytes())
    document["info"]["version"] = version
    body = Body(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())

    def answer(request: IRequest) -> bytes:
        query(request)
        return reply(request, body, cached=True)

    api.add_route("/openapi.json", answer)
