"""What the user asked for, checked: one frozen `Settings`, whoever made it (the command line or the Python API).

Every error here is the user's to mend, is found before anything starts, and says how.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from bfxtwist.core.market import Subscription
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.symbols import Pair, parse_pair

WS_URL = "wss://api-pub.bitfinex.com/ws/2"
REST_URL = "https://api-pub.bitfinex.com/v2"
LISTEN = "tcp:8080:interface=127.0.0.1"

PRECISIONS = ("P0", "P1", "P2", "P3", "P4", "R0")
FREQUENCIES = ("F0", "F1")
LENGTHS = ("1", "25", "100", "250")
SYNC_POLICIES = ("always", "1s", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One daemon. Make it with `settings()`, which checks."""

    pairs: tuple[Pair, ...]
    channels: tuple[ChannelName, ...]
    file_path: Path | None = None
    listen: tuple[str, ...] = (LISTEN,)
    precision: str = "P0"
    frequency: str = "F0"
    length: int = 25
    ws_url: str = WS_URL
    rest_url: str = REST_URL
    demo: bool = False
    sync: str = "1s"
    strict_disk: bool = False
    ca_file: Path | None = None
    lock_folder: Path | None = None
    allow_remote: bool = False
    token_file: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()

    @property
    def books(self) -> tuple[Pair, ...]:
        """The pairs whose book is kept."""
        return self.pairs if ChannelName.BOOK in self.channels else ()

    @property
    def recorded(self) -> tuple[Pair, ...]:
        """The pairs whose trades are recorded."""
        return self.pairs if ChannelName.TRADES in self.channels else ()

    def trade_folder(self, pair: Pair) -> Path:
        """Where the trade.csv of a pair lies: in the folder itself when there is only one."""
        assert self.file_path is not None  # settings() saw to it
        return self.file_path if len(self.recorded) == 1 else self.file_path / pair.file_name

    def subscriptions(self) -> Iterator[Subscription]:
        """What is to be subscribed."""
        for pair in self.books:
            yield Subscription(ChannelName.BOOK, pair.symbol, self.precision, self.frequency, self.length)
        for pair in self.recorded:
            yield Subscription(ChannelName.TRADES, pair.symbol)


def settings(
    *,
    pairs: Iterable[str],
    channels: Iterable[str],
    file_path: str | None = None,
    listen: Sequence[str] = (LISTEN,),
    precision: str = "P0",
    frequency: str = "F0",
    length: str | int = 25,
    ws_url: str = WS_URL,
    rest_url: str = REST_URL,
    demo: bool = False,
    sync: str = "1s",
    strict_disk: bool = False,
    ca_file: str | None = None,
    lock_folder: str | None = None,
    allow_remote: bool = False,
    token_file: str | None = None,
    allow_hosts: Iterable[str] = (),
    allow_origins: Iterable[str] = (),
) -> Settings:
    """The settings, from texts as people write them. Raises ValueError with one line that names the fix."""
    chosen = tuple(dict.fromkeys(ChannelName(_one_of("channel", name, [*ChannelName])) for name in channels))
    named = tuple(dict.fromkeys(parse_pair(text) for text in pairs))
    if not named:
        raise ValueError("no pair is named: add --pair BTC/USD")
    if not chosen:
        raise ValueError("no channel is named: add --channel book, --channel trades or both")
    if ChannelName.TRADES in chosen and not file_path:
        raise ValueError("trades need a folder for trade.csv: add --file-path data/")
    if demo and (ws_url, rest_url) != (WS_URL, REST_URL):
        raise ValueError("--demo brings its own exchange: leave out --ws-url and --rest-url, or --demo")
    return Settings(
        pairs=named,
        channels=chosen,
        file_path=Path(file_path) if file_path else None,
        listen=tuple(listen) or (LISTEN,),
        precision=_one_of("precision", precision, PRECISIONS),
        frequency=_one_of("frequency", frequency, FREQUENCIES),
        length=int(_one_of("length", str(length), LENGTHS)),
        ws_url=_url("--ws-url", ws_url, ("wss", "ws")),
        rest_url=_url("--rest-url", rest_url, ("https", "http")).rstrip("/"),
        demo=demo,
        sync=_one_of("sync", sync, SYNC_POLICIES),
        strict_disk=strict_disk,
        ca_file=_file("--ca-file", ca_file),
        lock_folder=Path(lock_folder) if lock_folder else None,
        allow_remote=allow_remote,
        token_file=_file("--token-file", token_file),
        allow_hosts=tuple(allow_hosts),
        allow_origins=tuple(allow_origins),
    )


def _one_of(what: str, value: str, allowed: Sequence[str]) -> str:
    if value in allowed:
        return value
    near = get_close_matches(value, allowed, 1) or get_close_matches(value.upper(), allowed, 1, 0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"unknown {what} {value!r}{hint}: use one of {', '.join(allowed)}")


def _url(option: str, value: str, schemes: Sequence[str]) -> str:
    try:
        parts = urlsplit(value)
        complete = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        complete = None
    if not complete:
        raise ValueError(f"{option} {value!r} is not a URL: write it like {schemes[0]}://host:port/path")
    return value


def _file(option: str, value: str | None) -> Path | None:
    if value is None:
        return None
    path = Path(value)
    try:
        path.read_bytes()
    except OSError as error:
        raise ValueError(f"{option} {value!r} cannot be read ({error.strerror}): name a file that can") from None
    return path
