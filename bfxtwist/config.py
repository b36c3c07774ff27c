"""Where a setting comes from: an option, else a BFXTWIST_ variable, else the file of --config, else its default.

    listen = "tcp:8080:interface=127.0.0.1"
    length = 100                              # for every feed that does not say otherwise

    [[feed]]
    pair = ["BTC/USD", "ETH/USD"]
    channel = ["book", "trades"]
    file_path = "data/"

A setting has one name: `ws_url` in the file is `--ws-url` and `BFXTWIST_WS_URL`. Pairs or channels that are named by an
option or a variable stand in place of the file's feeds. Names in the file that nobody knows are refused, and variables that
look like a known one, with the nearest that is known; other variables may be somebody else's.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from bfxtwist.core.errors import one_line
from bfxtwist.settings import LISTEN, REST_URL, WS_URL, FeedSettings, Settings, feed, settings

PREFIX = "BFXTWIST_"

#: How like a setting's name (of 1) one is that is taken for mistyped: `SYNK` is, with one letter of four.
_ALIKE = 0.75

#: What one feed can have of its own.
FEED_DEFAULTS: Mapping[str, Any] = {
    "pair": (),
    "channel": (),
    "file_path": None,
    "precision": "P0",
    "frequency": "F0",
    "length": "25",
}

#: Everything that can be set, with its default. The kind of the default tells what may be said: a tuple, several texts.
DEFAULTS: Mapping[str, Any] = {
    **FEED_DEFAULTS,
    "listen": (LISTEN,),
    "ws_url": WS_URL,
    "rest_url": REST_URL,
    "demo": False,
    "sync": "1s",
    "strict_disk": False,
    "rotate": "no",
    "rotate_compress": "gz",
    "no_fast_frames": False,
    "ca_file": None,
    "lock_folder": None,
    "allow_remote": False,
    "token_file": None,
    "allow_host": (),
    "allow_origin": (),
    "log_format": "text",
}

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Sourced(NamedTuple):
    """A value and where it was set, in words."""

    value: Any
    source: str


class Config(NamedTuple):
    """Every setting with its source, and the file's feeds if they count. Make it with `gather`."""

    values: Mapping[str, Sourced]
    feeds: tuple[Mapping[str, Sourced], ...] = ()

    def settings(self) -> Settings:
        """What all this asks for. Raises ValueError with one line that names the fix."""
        whole = {name: sourced.value for name, sourced in self.values.items()}
        return settings(
            feeds=[one for table in self.feeds or (self.values,) for one in _feeds(table)],
            allow_hosts=whole.pop("allow_host"),
            allow_origins=whole.pop("allow_origin"),
            **{name: value for name, value in whole.items() if name not in FEED_DEFAULTS},
        )

    def changed(self, earlier: "Config") -> list[str]:
        """The names of the settings that are no feed's and were others earlier."""
        names = DEFAULTS.keys() - FEED_DEFAULTS.keys()
        return sorted(name for name in names if self.values[name].value != earlier.values[name].value)

    def describe(self) -> str:
        """The settings as a file that would give the same, each with where it came from."""
        own = FEED_DEFAULTS if self.feeds else {}
        lines = [_line(name, sourced) for name, sourced in self.values.items() if name not in own]
        for table in self.feeds:
            lines += ["", "[[feed]]", *(_line(name, sourced) for name, sourced in table.items())]
        return "\n".join(lines) + "\n"


def gather(options: Mapping[str, Any], environ: Mapping[str, str], path: Path | None = None) -> Config:
    """Bring together what was said. `options` has those given only, by the names of `DEFAULTS`.

    Raises ValueError with one line that names the fix.
    """
    said = {name: _sourced(name, value, f"--{name.replace('_', '-')}") for name, value in options.items()}
    for name, text in _variables(environ):
        said.setdefault(name, _sourced(name, text, f"{PREFIX}{name.upper()}"))
    file: Mapping[str, Any] = {} if path is None else _file(path)
    tables = file.get("feed", ())
    values = {name: Sourced(value, "default") for name, value in DEFAULTS.items()}
    values |= _values(file, DEFAULTS, path) | said
    replaced = {"pair", "channel"} & said.keys()
    # An option or a variable stands above a feed of the file, the file's own general values below.
    below = {name: values[name] for name in FEED_DEFAULTS}
    above = {name: said[name] for name in FEED_DEFAULTS.keys() & said.keys()}
    feeds = () if replaced else tuple(below | _values(table, FEED_DEFAULTS, path) | above for table in tables)
    return Config({name: values[name] for name in DEFAULTS}, feeds)


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX):
            continue
        is_ours = name in DEFAULTS or name == "config"  # where the file is, which `options.py` asks for
        # As with options: what a script leaves unset must not mean that there is no token, or no strict disk.
        if is_ours and not text.strip(" ,"):
            raise ValueError(f"{variable} is empty: give it a value, or leave it out")
        if name in DEFAULTS:
            yield name, text
        elif not is_ours and (near := get_close_matches(name, DEFAULTS, 1, _ALIKE)):
            raise ValueError(f"unknown variable {variable}: did you mean {PREFIX}{near[0].upper()}?")


def _file(path: Path) -> Mapping[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))  # some editors begin with a mark that TOML does not know
    except OSError as error:
        raise ValueError(f"--config {path} cannot be read ({error.strerror}): name a file that can") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"--config {path} is not UTF-8 (at line {line}): save it as that") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"--config {path} is not TOML: {error}") from None
    _check_names(content, [*DEFAULTS, "feed"], path)
    tables = content.get("feed", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"--config {path}: write each feed under a line [[feed]]")
    for table in tables:
        if above := [name for name in table if name in DEFAULTS.keys() - FEED_DEFAULTS.keys()]:
            raise ValueError(f"--config {path}: {above[0]} is not a [[feed]]'s: write it above the first of them")
        _check_names(table, FEED_DEFAULTS, path)
        if not table.get("pair", content.get("pair")):
            raise ValueError(f'--config {path}: a [[feed]] names no pair: add pair = "BTC/USD" to it')
    if "pair" in content and tables and all("pair" in table for table in tables):
        raise ValueError(f"--config {path}: pair = {content['pair']!r} is in no [[feed]]: give it one, or take it out")
    return content


def _check_names(table: Mapping[str, Any], known: Iterable[str], path: Path) -> None:
    for name in table:
        if name not in known:
            near = get_close_matches(name, known, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"--config {path}: unknown key {name!r}: {hint}")


def _values(table: Mapping[str, Any], names: Iterable[str], path: Path | None) -> dict[str, Sourced]:
    """What a table of the file says of these."""
    return {name: _sourced(name, table[name], str(path)) for name in names if name in table}


def _sourced(name: str, value: Any, source: str) -> Sourced:
    try:
        return Sourced(_read(name, value), source)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _read(name: str, value: Any) -> Any:
    """The value in the kind of its default. Raises ValueError for another kind."""
    default = DEFAULTS[name]
    if isinstance(default, tuple):
        several = value.split(",") if isinstance(value, str) else value
        if isinstance(several, list | tuple) and all(isinstance(one, str) for one in several):
            return tuple(one.strip() for one in several if one.strip())
        raise ValueError(f"{name} must be a text or a list of texts, not {value!r}")
    if isinstance(default, bool):
        return _truth(name, value)
    if isinstance(value, str) or (type(value) in (int, float) and default is not None):
        return str(value)  # a number that is none of a setting's values is refused with those that are
    # What stands alone in a list, or as a number where a file is to be named, is what is meant.
    only = value[0] if isinstance(value, list) and len(value) == 1 else value
    fix = f": write {name} = {_quoted(str(only))}" if type(only) in (str, int, float) else ""
    raise ValueError(f"{name} must be one text, not {value!r}{fix}")


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in (*_TRUE, *_FALSE):
        return value.lower() in _TRUE
    raise ValueError(f"{name} must be true or false, not {value!r}")


def _feeds(table: Mapping[str, Sourced]) -> Iterator[FeedSettings]:
    """Every pair of the table gets every channel of it."""
    values = {name: table[name].value for name in FEED_DEFAULTS}
    pairs, channels = values.pop("pair"), values.pop("channel")
    if pairs and not channels:
        raise ValueError("no channel is named: add --channel book, --channel trades or both")
    for pair in pairs:
        for channel in channels:
            yield feed(pair=pair, channel=channel, **values)


def _line(name: str, sourced: Sourced) -> str:
    value = sourced.value
    match value:
        case None:
            text, name = '""', f"# {name}"
        case bool():
            text = str(value).lower()
        case tuple():
            text = f"[{', '.join(map(_quoted, value))}]"
        case _:
            text = _quoted(value)
    return f"{f'{name} = {text}':<60} # {one_line(sourced.source)}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's, which has one more
