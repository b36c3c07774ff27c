"""The parameters of a request, strictly read: one that nobody knows is a mistake, told with the nearest that is known."""

from difflib import get_close_matches
from urllib.parse import parse_qsl

from twisted.web.iweb import IRequest

from bfxtwist.out.problems import Problem


def query(request: IRequest, *known: str) -> dict[str, str]:
    """The parameters of a request. Raises Problem for one that is unknown, repeated or not UTF-8."""
    found: dict[str, str] = {}
    # Not request.args: Twisted leaves out what has no equals sign, and `?stale` would be lost without a word.
    text = request.uri.partition(b"?")[2]
    try:
        fields = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Problem(400, "the query is not percent-encoded UTF-8") from None
    for name, value in fields:
        if name not in known:
            raise Problem(400, _unknown(name, known))
        if name in found:
            raise Problem(400, f"{name} is given more than once")
        found[name] = value
    return found


def _unknown(name: str, known: tuple[str, ...]) -> str:
    if not known:
        return f"there is no parameter {name!r} here, nor any other"
    near = get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"there is no parameter {name!r}: {hint}"
