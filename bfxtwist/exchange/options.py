"""`twistd bfx-exchange`: the embedded exchange as a daemon of its own."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar, TypeVar

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python import usage

from bfxtwist.cannot_listen import CannotListen
from bfxtwist.core.symbols import parse_pair
from bfxtwist.exchange.embedded import REAL_LIMITS, EmbeddedExchange, Market
from bfxtwist.exchange.faults import Faults, describe
from bfxtwist.exchange.replay import ReplayMarket
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits
from bfxtwist.one_line_errors import OneLineErrors

T = TypeVar("T")

_log = Logger()

_LISTEN = "tcp:9999:interface=127.0.0.1"


class Options(OneLineErrors):
    """What the user asked for. After `postOptions`, `market`, `endpoint` and `limits` are ready to be served."""

    command = "bfx-exchange"
    synopsis = "[options]"
    longdesc = (
        "A small Bitfinex on this machine, simulated or replayed: books and trades over WebSocket at /ws/2, "
        "REST at /v2, faults by name."
    )

    optParameters: ClassVar = [
        ["listen", "l", _LISTEN, "Twisted endpoint description to listen on."],
        ["seed", "s", "7", "Seed of the simulated market: the same seed makes the same market."],
        ["rate", None, "1", "How many times faster than usual the simulated market lives."],
        ["speed", None, "0", "Replayed messages a second; 0 is as fast as the clients take them."],
        ["ledger", None, None, "File to which every trade is appended, one JSON object a line."],
        ["channel-limit", None, "30", "Channels that one connection may have."],
    ]  # fmt: skip

    optFlags: ClassVar = [
        ["unlimited", None, "Lift the limits: 20 connects a minute; over REST 15 requests for trades, 240 for books."],
    ]  # fmt: skip

    market: Market
    endpoint: IStreamServerEndpoint
    limits: Limits

    def __init__(self) -> None:
        super().__init__()
        self._pairs: list[str] = []
        self._recordings: list[Path] = []
        self._faults: list[str] = []

    def opt_pair(self, text: str) -> None:
        """A pair to simulate, like BTC/USD; repeatable, or comma-separated. [default: BTC/USD]"""
        self._pairs += [part for part in text.split(",") if part.strip()]

    opt_p = opt_pair

    def opt_replay(self, path: str) -> None:
        """A recording to play instead: one server message a line, plain or gzipped; repeatable."""
        self._recordings.append(Path(path))

    def opt_fault(self, text: str) -> None:
        """NAME or NAME=VALUE: something that goes wrong (see below); repeatable."""
        self._faults.append(text)

    def getUsage(self, width: int | None = None) -> str:
        """The options, and every fault."""
        return f"{super().getUsage(width)}\nFaults, by where they strike:\n{describe()}\n"

    def postOptions(self) -> None:
        """Check everything. Raises UsageError, with the fix in its text."""
        from twisted.internet import reactor  # twistd may be told which one to install: not before it is

        if self._recordings and self._pairs:
            raise usage.UsageError("--pair and --replay: a recording has the pairs it has; leave out --pair")
        if self._number("speed", float, 0.0) and not self._recordings:
            raise usage.UsageError("--speed goes with --replay: for a faster market write --rate")
        self.limits = Limits() if self["unlimited"] else REAL_LIMITS
        self.limits = self.limits._replace(channels=self._number("channel-limit", int, 1))
        self.endpoint = _checked("--listen", lambda: serverFromString(reactor, self["listen"]), f"an example is {_LISTEN}")
        faults = Faults(Random(self._number("seed", int, 0)))
        for text in self._faults:
            _checked("--fault", partial(faults.set_from, text))
        self.market = self._replayed(faults) if self._recordings else self._simulated(faults)
        self.market.ledger.keeps = False  # nobody here could ask for it, and an exchange may run for months

    def _simulated(self, faults: Faults) -> SimulatedMarket:
        pairs = [_checked("--pair", partial(parse_pair, text)).symbol for text in self._pairs or ["BTC/USD"]]
        seed, rate = self._number("seed", int, 0), self._number("rate", float, 0.001, 1000)
        return _checked(
            "--ledger", lambda: SimulatedMarket(seed, dict.fromkeys(pairs), rate=rate, faults=faults, ledger=self._ledger())
        )

    def _replayed(self, faults: Faults) -> ReplayMarket:
        speed = self._number("speed", float, 0.0)
        missing = next((path for path in self._recordings if not path.is_file()), None)
        if missing is not None:
            raise usage.UsageError(f"--replay {missing}: there is no such file")
        return _checked(
            "--replay", lambda: ReplayMarket(self._recordings, speed=speed, faults=faults, ledger=self._ledger())
        )

    def _ledger(self) -> Path | None:
        return Path(self["ledger"]) if self["ledger"] else None

    def _number(self, name: str, kind: Callable[[Any], T], least: float, most: float = 1e12) -> T:
        try:
            number = kind(self[name])
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise usage.UsageError(f"--{name} {self[name]}: {wanted} is needed") from None
        if not least <= number <= most:  # type: ignore[operator]
            wanted = f"{least:g} or more" if number < least else f"{least:g} to {most:g}"  # type: ignore[operator]
            raise usage.UsageError(f"--{name} {self[name]}: the number must be {wanted}")
        return number


def _checked(option: str, make: Callable[[], T], hint: str = "") -> T:
    """What `make` returns; what it cannot take, as a UsageError."""
    try:
        return make()
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise usage.UsageError("; ".join(filter(None, (f"{option}: {error}", hint)))) from None


class ExchangeDaemon(EmbeddedExchange):
    """The exchange, where a person has started it, who is told where it is. `secure` says whether its endpoint is of TLS."""

    secure = False

    def privilegedStartService(self) -> None:
        """Listen. Raises CannotListen."""
        try:
            super().privilegedStartService()
        except (CannotListenError, OverflowError) as error:  # the latter for a port that no port can be
            why = getattr(getattr(error, "socketError", None), "strerror", None) or error
            raise CannotListen(f"bfx-exchange: cannot listen ({why}): choose another --listen") from None

    def startService(self) -> None:
        """Listen, if that has not been done, and say where."""
        super().startService()
        s = "s" if self.secure else ""
        with suppress(ValueError):  # a unix socket has no URL
            place = f"{s}://{self.place}"
            urls = {"ws": f"ws{place}/ws/2", "rest": f"http{place}/v2", "faults": f"http{place}/faults"}
            _log.info("WebSocket {ws}, REST {rest}, faults {faults}", **urls)


def makeService(options: Options) -> ExchangeDaemon:
    """The service that twistd runs."""
    from twisted.internet import reactor  # as above

    daemon = ExchangeDaemon(reactor, options.market, endpoint=options.endpoint, limits=options.limits)
    daemon.secure = options["listen"].startswith("ssl:")
    return daemon
