"""What the user asked for, checked: one frozen `Settings`, whoever made it (the command line or the Python API).

Every error here is the user's to mend, is found before anything starts, and says how.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from os import PathLike
from os.path import realpath
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import FREQUENCIES, LENGTHS, PRECISIONS, Subscription
from bfxtwist.core.symbols import Pair, parse_pair
from bfxtwist.feed.hosts import is_host

WS_URL = "wss://api-pub.bitfinex.com/ws/2"
REST_URL = "https://api-pub.bitfinex.com/v2"
LISTEN = "tcp:8080:interface=127.0.0.1"

SYNC_POLICIES = ("always", "1s", "no")
LOG_FORMATS = ("text", "json")
COMPRESSIONS = ("gz", "zst", "none")

_SIZE = re.compile(r"([1-9][0-9]{0,8}) ?(kB|MB|GB)", re.IGNORECASE)
_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """One pair on one channel, and for trades the folder of its trade.csv. Make it with `feed()`, which checks."""

    pair: Pair
    channel: ChannelName
    precision: str
    frequency: str
    length: int
    folder: Path | None

    @property
    def subscription(self) -> Subscription:
        """What is to be subscribed."""
        if self.channel is ChannelName.TRADES:
            return Subscription(self.channel, self.pair.symbol)
        return Subscription(self.channel, self.pair.symbol, self.precision, self.frequency, self.length)


@dataclass(frozen=True, slots=True)
class Rotate:
    """When trade.csv is closed, and how the closed part is compressed."""

    size: int | None  # bytes; None: at the end of each UTC day
    compress: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One daemon. Make it with `settings()`, which checks."""

    feeds: tuple[FeedSettings, ...]
    listen: tuple[str, ...]
    ws_url: str
    rest_url: str
    demo: bool
    sync: str
    strict_disk: bool
    rotate: Rotate | None
    no_fast_frames: bool
    ca_file: Path | None
    lock_folder: Path | None
    allow_remote: bool
    token_file: Path | None
    allow_hosts: tuple[str, ...]
    allow_origins: tuple[str, ...]
    log_format: str

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Each pair once, in the order named."""
        return tuple(dict.fromkeys(feed.pair for feed in self.feeds))


def feed(
    *,
    pair: str,
    channel: str,
    file_path: str | PathLike[str] | None = None,
    precision: str = "P0",
    frequency: str = "F0",
    length: str | int = 25,
) -> FeedSettings:
    """One feed, from texts as people write them. Raises ValueError with one line that names the fix."""
    if not isinstance(pair, str):
        raise ValueError(f"{pair!r} is not a pair: write it like 'BTC/USD'")
    chosen = ChannelName(_one_of("channel", channel, [*ChannelName]))
    if chosen is ChannelName.TRADES and not file_path:
        raise ValueError("trades need a folder for trade.csv: add --file-path data/ (in Python, file_path=)")
    return FeedSettings(
        pair=parse_pair(pair),
        channel=chosen,
        precision=_one_of("precision", precision, PRECISIONS),
        frequency=_one_of("frequency", frequency, FREQUENCIES),
        length=int(_one_of("length", str(length).removesuffix(".0"), LENGTHS)),  # TOML's 25.0 is 25, too
        folder=checked_path("--file-path", file_path) if file_path and chosen is ChannelName.TRADES else None,
    )


class MoreSettings(TypedDict, total=False):
    """What `settings` takes beside feeds and addresses, for functions that hand it on."""

    demo: bool
    sync: str
    strict_disk: bool
    rotate: str
    rotate_compress: str
    no_fast_frames: bool
    ca_file: str | PathLike[str] | None
    lock_folder: str | PathLike[str] | None
    allow_remote: bool
    token_file: str | PathLike[str] | None
    allow_hosts: str | Iterable[str]
    allow_origins: str | Iterable[str]
    log_format: str


def settings(
    *,
    feeds: Iterable[FeedSettings],
    listen: str | Iterable[str] = (LISTEN,),
    ws_url: str = WS_URL,
    rest_url: str = REST_URL,
    demo: bool = False,
    sync: str = "1s",
    strict_disk: bool = False,
    rotate: str = "no",
    rotate_compress: str = "gz",
    no_fast_frames: bool = False,
    ca_file: str | PathLike[str] | None = None,
    lock_folder: str | PathLike[str] | None = None,
    allow_remote: bool = False,
    token_file: str | PathLike[str] | None = None,
    allow_hosts: str | Iterable[str] = (),
    allow_origins: str | Iterable[str] = (),
    log_format: str = "text",
) -> Settings:
    """The settings, from texts as people write them. Raises ValueError with one line that names the fix."""
    if demo and (ws_url, rest_url) != (WS_URL, REST_URL):
        raise ValueError("--demo brings its own exchange: leave out --ws-url and --rest-url, or --demo")
    return Settings(
        feeds=_apart(_once(feeds)),
        listen=_several("listen", "address", listen, LISTEN) or (LISTEN,),
        ws_url=checked_url("--ws-url", ws_url, ("wss", "ws")),
        rest_url=checked_rest_url("--rest-url", rest_url),
        demo=demo,
        sync=_one_of("sync", sync, SYNC_POLICIES),
        strict_disk=strict_disk,
        rotate=_rotate(rotate, rotate_compress),
        no_fast_frames=no_fast_frames,
        ca_file=_file("--ca-file", ca_file),
        lock_folder=checked_path("--lock-folder", lock_folder) if lock_folder else None,
        allow_remote=allow_remote,
        token_file=_file("--token-file", token_file),
        allow_hosts=_several("allow_hosts", "host name", allow_hosts, "book.example.org"),
        allow_origins=_several("allow_origins", "origin", allow_origins, "https://book.example.org:8443"),
        log_format=_one_of("log format", log_format, LOG_FORMATS),
    )


def _once(feeds: Iterable[FeedSettings]) -> list[FeedSettings]:
    """Each feed once; a pair cannot have two different books, since GET /book names it by its pair."""
    wanted: dict[tuple[Pair, ChannelName], FeedSettings] = {}
    for feed in feeds:
        if wanted.setdefault((feed.pair, feed.channel), feed) != feed:
            raise ValueError(f"{feed.pair.name} {feed.channel} is asked for in two ways: keep one of them")
    if not wanted:
        raise ValueError("no pair is named: add --pair BTC/USD")
    return list(wanted.values())


def _apart(feeds: Sequence[FeedSettings]) -> tuple[FeedSettings, ...]:
    """Pairs that would share a folder get one each within it: `data/BTC-USD/trade.csv`."""
    try:
        real = [feed.folder and realpath(feed.folder) for feed in feeds]  # the same however it is written
    except FileNotFoundError:  # of a part of the path it would not complain
        raise ValueError("--file-path is within the folder of the start, which is gone: go to another") from None
    return tuple(
        replace(feed, folder=feed.folder / feed.pair.file_name) if feed.folder and real.count(folder) > 1 else feed
        for feed, folder in zip(feeds, real, strict=True)
    )


def _several(name: str, what: str, value: str | Iterable[str], example: str) -> tuple[str, ...]:
    """What may be one or more, as a tuple. From Python it may be anything."""
    several = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    if not all(isinstance(one, str) for one in several):
        raise ValueError(f"{name}={value!r} is no {what}: write it like {example!r}")
    return several


def _one_of(what: str, value: str, allowed: Sequence[str]) -> str:
    if value in allowed:
        return value
    text = value if isinstance(value, str) else ""  # from Python anything may come
    near = get_close_matches(text, allowed, 1) or get_close_matches(text.upper(), allowed, 1, 0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"unknown {what} {value!r}{hint}: use one of {', '.join(allowed)}")


def _rotate(when: str, compress: str) -> Rotate | None:
    compress = _one_of("compression of rotated parts", compress, COMPRESSIONS)
    if when == "no":
        return None
    if when == "daily":
        return Rotate(None, compress)
    size = _SIZE.fullmatch(str(when))
    if size is None:
        raise ValueError(f"--rotate {when!r} is neither a time nor a size: use daily, a size like 100MB, or no")
    return Rotate(int(size[1]) * _UNITS[size[2].lower()], compress)


def checked_rest_url(what: str, value: str) -> str:
    """The URL of a REST interface. Raises ValueError, with the fix; `what` is what it was asked for by."""
    url = checked_url(what, value, ("https", "http")).rstrip("/")
    if ":" in str(urlsplit(url).hostname):  # treq takes it for a name that IDNA does not have
        raise ValueError(f"{what} {value!r} has an IPv6 address, which cannot be asked: give it a name in /etc/hosts")
    return url


def checked_url(what: str, value: str, schemes: Sequence[str]) -> str:
    """The URL, if it is one. Raises ValueError, with the fix, if not; `what` is what it was asked for by."""
    try:
        parts = urlsplit(value)
        complete = parts.scheme in schemes and parts.port != 0 and value.split() == [value] and not parts.fragment
    except (ValueError, AttributeError, TypeError):  # the latter two for what is no text
        complete = False
    if not complete or not is_host(parts.hostname):
        raise ValueError(f"{what} {value!r} is not a URL: write it like {schemes[0]}://host:port/path")
    return value


def _file(option: str, value: str | PathLike[str] | None) -> Path | None:
    if value is None:
        return None
    path = checked_path(option, value)
    try:
        path.read_bytes()
    except OSError as error:
        raise ValueError(f"{option} {str(value)!r} cannot be read ({error.strerror}): name a file that can") from None
    return path


def checked_path(option: str, value: str | PathLike[str]) -> Path:
    """A path. `~` is one's home: shells see it at the beginning of a word only, and Python and TOML have no shell.

    Raises ValueError, with the fix.
    """
    with suppress(TypeError, RuntimeError):  # no path at all; nobody's home
        path = Path(value).expanduser()
        if "\0" not in str(path):
            return path
    raise ValueError(f"{option} {value!r} is no path: write it like 'data/'")
