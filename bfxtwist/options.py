"""The command line of `twistd bfx`. It gathers texts; what they mean and whether they may stand is said elsewhere.

`config.py` adds what the environment and a file say, `settings.py` checks it all.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar

from twisted.python import usage

from bfxtwist.config import DEFAULTS, PREFIX, Config, gather
from bfxtwist.core.subscription import FREQUENCIES, LENGTHS, PRECISIONS
from bfxtwist.one_line_errors import OneLineErrors, Refusal
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.preflight import check
from bfxtwist.settings import COMPRESSIONS, LISTEN, LOG_FORMATS, REST_URL, SYNC_POLICIES, WS_URL, Settings, checked_path


class Options(OneLineErrors):
    """`twistd bfx`. After parsing, `settings` holds the result."""

    command = "bfx"
    synopsis = "--pair PAIR --channel CHANNEL [options]"
    longdesc = (
        "Keeps the order book of each pair and serves it at GET /book, only while it is live; writes every trade once "
        "to trade.csv, until it is stopped. Try: twistd -n bfx --pair BTC/USD --channel book --demo"
    )
    # No defaults here: what was not said on the command line may have been said elsewhere.
    optParameters: ClassVar[list[list[str | None]]] = [
        ["config", None, None, "TOML file of settings (or BFXTWIST_CONFIG). Options and BFXTWIST_ variables go first."],
        ["file-path", "f", None, "Folder for trade.csv, made if missing; needed for trades. Several pairs: one each in it."],
        ["precision", None, None, f"Precision of the books: {', '.join(PRECISIONS)} (orders). [default: P0]"],
        ["frequency", None, None, f"Frequency of the books: {', '.join(FREQUENCIES)} (each 2 s). [default: F0]"],
        ["length", None, None, f"Levels of each side of the books: {', '.join(LENGTHS)}. [default: 25]"],
        ["ws-url", None, None, f"The exchange's WebSocket. [default: {WS_URL}]"],
        ["rest-url", None, None, f"The exchange's REST interface. [default: {REST_URL}]"],
        ["sync", None, None, f"When trades are forced to disk: {', '.join(SYNC_POLICIES)}. [default: 1s]"],
        ["rotate", None, None, "When trade.csv is closed as a part: daily (UTC), a size like 100MB, no. [default: no]"],
        ["rotate-compress", None, None, f"What becomes of closed parts: {', '.join(COMPRESSIONS)} (stay). [default: gz]"],
        ["ca-file", None, None, "Trust the certificates of this PEM file instead of the system's."],
        ["lock-folder", None, None, "Folder in which daemons of one machine share the exchange's connect limit."],
        ["log-format", None, None, f"How the log is written: {', '.join(LOG_FORMATS)} (one object a line). [default: text]"],
        ["token-file", None, None, "File (mode 0600) with a token that HTTP clients must send: a bearer, or a password."],
    ]
    optFlags: ClassVar[list[list[str | None]]] = [
        ["demo", None, "Run the embedded exchange on a free loopback port, and use it."],
        ["strict-disk", None, "Exit with code 74 when the disk fails three times in a row, instead of trying on."],
        ["no-fast-frames", None, "Leave every WebSocket frame to Autobahn: slower, should the fast path be in doubt."],
        ["allow-remote", None, "Allow --listen beyond this machine; needs TLS (ssl:) or --token-file."],
        ["print-config", None, "Print each setting and where it came from, and exit."],
    ]
    compData = usage.Completions(
        optActions={
            "channel": usage.CompleteList(["book", "trades"]),
            "config": usage.CompleteFiles("*.toml"),
            "file-path": usage.CompleteDirs(),
            "precision": usage.CompleteList(list(PRECISIONS)),
            "length": usage.CompleteList(list(LENGTHS)),
            "rotate-compress": usage.CompleteList(list(COMPRESSIONS)),
            "log-format": usage.CompleteList(list(LOG_FORMATS)),
        }
    )
    config: Config
    settings: Settings

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self._environ = environ
        for name in ("pair", "channel", "listen", "allow-host", "allow-origin"):
            self[name] = []

    def opt_pair(self, value: str) -> None:
        """A pair: BTC/USD, BTCUSD, tBTCUSD, tDOGE:USD, tBTCF0:USTF0. Repeatable, or comma-separated."""
        self["pair"] += value.split(",")

    def opt_channel(self, value: str) -> None:
        """book or trades. Repeatable: every pair gets every channel named."""
        self["channel"] += value.split(",")

    def opt_listen(self, value: str) -> None:
        self["listen"].append(value)

    opt_listen.__doc__ = f"Where to serve HTTP, a Twisted endpoint. Repeatable. [default: {LISTEN}]"

    def opt_allow_host(self, value: str) -> None:
        """A further name under which HTTP clients may address this daemon. Repeatable."""
        self["allow-host"].append(value)

    def opt_allow_origin(self, value: str) -> None:
        """An origin (https://example.org) whose pages may read over CORS. Repeatable."""
        self["allow-origin"].append(value)

    opt_p = opt_pair
    opt_c = opt_channel
    opt_l = opt_listen

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        # The Python API says file_path, so people write that here too; usage.Options knows dashes only.
        words = [word.replace("--file_path", "--file-path", 1) for word in options or ()]
        super().parseOptions(words)

    def postOptions(self) -> None:
        try:
            self.config = self.read()
            if self["print-config"]:  # with a mistake in it, too: to see where that comes from
                sys.stdout.write(self.config.describe())
            self.settings = self.config.settings()
            if self["print-config"]:
                raise SystemExit(0)
            check(self.settings)
        except ValueError as error:
            raise usage.UsageError(str(error)) from None
        except TradeFileError as error:
            raise Refusal(f"--file-path: {error}", error.exit_code) from None

    @property
    def file(self) -> str | None:
        """The settings file, if there is one."""
        return self["config"] or self._environ.get(f"{PREFIX}CONFIG")

    def read(self) -> Config:
        """Everything that was said, the file as it is now. Raises ValueError with one line that names the fix."""
        for option, value in self.items():
            # What a script's unset variable leaves: --token-file "$TOKEN" must not mean that there is none.
            if value == "" or (isinstance(value, list) and value and not any(word.strip() for word in value)):
                raise ValueError(f"--{option} is empty: give it a value, or leave it out")
        said = {name: self[option] for name in DEFAULTS if self[option := name.replace("_", "-")]}
        said |= {name: True for name in said if isinstance(DEFAULTS[name], bool)}  # a flag counts how often it was given
        return gather(said, self._environ, checked_path("--config", self.file) if self.file else None)
