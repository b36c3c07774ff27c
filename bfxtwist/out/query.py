"""The parameters of a request, strictly read: one that nobody knows is a mistake, told with the nearest that is known."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar
from urllib.parse import parse_qsl

from twisted.web.iweb import IRequest

from bfxtwist.core.feed_state import Feed
from bfxtwist.core.symbols import parse_pair
from bfxtwist.out.problems import Problem

_F = TypeVar("_F", bound=Feed)


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


def whole_number(text: str, name: str, what: str, largest: int) -> int:
    """A number from 1 on. Raises Problem."""
    # As many digits as the largest has: int() takes a second for a million of them.
    if text.isascii() and text.isdigit() and len(text) <= len(str(largest)) and 0 < int(text) <= largest:
        return int(text)
    raise Problem(400, f"{name} {text[:20]!r} is not a number of {what}: use a whole number from 1 to {largest}")


def choose(feeds: Mapping[str, _F], text: str | None, names: Mapping[str, str], noun: str, channel: str) -> _F:
    """The feed that `?pair=` means, or the only one. Raises Problem, which calls the feeds by `noun` (`book`)."""
    carried = [feed.name for feed in feeds.values()]
    if text is None:
        if len(feeds) == 1:
            return next(iter(feeds.values()))
        if not feeds:
            raise Problem(404, f"no {noun} is carried: start with --channel {channel}")
        raise Problem(400, f"which {noun}? Add ?pair= with one of {', '.join(carried)}", pairs=carried)
    try:
        pair = parse_pair(text, names)
    except ValueError as error:
        raise Problem(400, str(error)) from None
    if pair.symbol not in feeds:
        there = f"there is a {noun} of {', '.join(carried)}" if carried else f"there is no {noun}"
        raise Problem(404, f"{pair.name} is not carried: {there}", pairs=carried)
    return feeds[pair.symbol]
