"""What can go wrong, by name.

A fault is a condition that stands until it is cleared, or something that happens once, at the next chance, and then is
over. Nothing here does anything: the parts of the exchange ask whether their fault is on. `entrance.py` has those of the
handshake, `faulty.py` those of the conversation, `frames.py` those of the frames, `simulated.py` those of the market,
`tape.py` and `bad_answers.py` those of the history.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from random import Random
from typing import Literal

Value = float | str


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    `default` is the value where none is given, None if the fault takes none; `choices` are the words that it takes.
    """

    name: str
    about: str
    default: Value | None = None
    choices: tuple[str, ...] = ()
    once: bool = False

    def parse(self, text: str) -> Value:
        """The value in `NAME=text`. Raises ValueError, whose text names the fix."""
        if self.default is None:
            raise ValueError(f"{self.name}={text}: this fault takes no value")
        if self.choices:
            if text not in self.choices:
                raise ValueError(f"{self.name}={text}: choose from {', '.join(self.choices)}")
            return text
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"{self.name}={text}: a number is needed, as in {self.name}={self.default:g}") from None
        if not 0 <= number < 1e12:
            raise ValueError(f"{self.name}={text}: the number must be 0 or more")
        return number


Place = Literal["handshake", "conversation", "frames", "market", "history"]


def _handshake() -> list[Fault]:
    codes = ("301", "408", "429", "500", "502", "503", "504")
    odd = ("html", "garbage", "hang", "drip", "endless", "not-utf8", "wrong-accept", "drop")
    return [
        Fault("handshake", "a WebSocket handshake is refused, or answered with what is none", "503", (*codes, *odd)),
        Fault("silence", "a connection is accepted, and then not a word is said on it, not even the greeting"),
        Fault("version", "the greeting says this major version", 3.0),
        Fault("platform-status", "the greeting and REST give this status; 0 is maintenance", 0.0),
    ]


def _conversation() -> list[Fault]:
    refusals = ("10300", "10001", "10302", "10305", "11000")
    return [
        Fault("late-ack", "a book is acknowledged after this many seconds (13 were measured), trades after 0.2", 13.0),
        Fault("hb-before-ack", "a channel beats before it is acknowledged, this many seconds later", 1.0),
        Fault("shuffled-acks", "acknowledgements come out of order, over this many seconds", 0.5),
        Fault("no-ack", "subscribe requests have no answer"),
        Fault("wrong-ack", "an acknowledgement names another symbol", once=True),
        Fault("ack-twice", "an acknowledgement comes twice", once=True),
        Fault("refuse", "subscribe requests are refused with this code", "10300", refusals),
        Fault("channel-limit", "the number of channels that a connection may have", 25.0),
        Fault("no-unsubscribed", "unsubscribe requests have no answer, and the channel goes on"),
        Fault("late-unsubscribed", "unsubscribed takes this many seconds; frames come until then and after", 1.0),
        Fault("refuse-conf", "conf is answered with an error"),
        Fault("no-conf", "conf has no answer, and no effect"),
        Fault("no-pong", "a JSON ping has no answer"),
        Fault("sorted-keys", "the keys of events come in alphabetical order"),
        Fault("stop-reading", "the server does not read from its sockets"),
        Fault("restart", "info 20051: the server stops, connect again", once=True),
        Fault("maintenance-start", "info 20060: maintenance begins", once=True),
        Fault("maintenance-end", "info 20061: maintenance is over", once=True),
        Fault("drop", "every connection is cut", "rst", ("rst", "fin", "mid-frame", "close"), once=True),
        Fault("drop-after", "a connection is cut when it was sent this many frames", 500.0),
    ]


def _frames() -> list[Fault]:
    junk = (
        "malformed", "binary", "nan", "huge-number", "deep", "surrogate", "unknown-channel", "unknown-event", "unknown-kind",
        "scalar", "empty-row", "huge",
    )  # fmt: skip
    return [
        Fault("skip-seq", "a sequence number is left out", once=True),
        Fault("repeat-seq", "a sequence number comes twice", once=True),
        Fault("restart-seq", "sequence numbers begin at 1 again", once=True),
        Fault("corrupt-level", "the amount of a level is sent wrong", once=True),
        Fault("lose-update", "a book's update is not sent, and no sequence number tells", once=True),
        Fault("ghost-delete", "a level is deleted that was never there", once=True),
        Fault("crossed", "a bid is set at the price of an ask, and stays", once=True),
        Fault("wrong-cs", "a checksum is wrong", once=True),
        Fault("always-wrong-cs", "every checksum is wrong"),
        Fault("no-cs", "there are no checksums"),
        Fault("te-missing", "this part of all te is not sent", 0.5),
        Fault("te-twice", "this part of all te is sent twice", 0.5),
        Fault("tu-missing", "this part of all tu is not sent", 1.0),
        Fault("tu-late", "tu comes this many seconds later", 2.0),
        Fault("tu-out-of-order", "tu comes up to this many seconds later, each its own while", 2.0),
        Fault("stall", "nothing but heartbeats is sent, or nothing at all", "hb", ("hb", "nothing")),
        Fault("stall-channel", "one kind of channel falls silent, without heartbeats", "book", ("book", "trades")),
        Fault("extra-fields", "frames with SEQ_ALL and TIMESTAMP have further fields at their end"),
        Fault("junk", "every connection is sent a frame that means nothing", "malformed", junk, once=True),
    ]


def _market() -> list[Fault]:
    return [
        Fault("exponents", "amounts are below 1e-6, so that they are written with an exponent"),
        Fault("book", "books are thin, without asks, or empty", "thin", ("thin", "one-sided", "empty")),
        Fault("quiet", "nothing happens: no orders, no trades"),
        Fault("mts-drift", "REST and snapshots give times up to this many ms other than te did", 9.0),
    ]


def _history() -> list[Fault]:
    return [
        Fault("rest-lag", "a trade is in the history this many seconds after it happened", 5.0),
        Fault("rest-hole", "one trade in so many is not in the history", 10.0),
        Fault("rest-short-page", "a page has no more rows than this, whatever was asked", 50.0),
        Fault("rest-ties", "trades of one ms come in any order"),
        Fault("rest-unsorted", "a page is in no order at all"),
        Fault("rest-horizon", "the history reaches back no further than this many seconds", 60.0),
        Fault("rest-empty", "the history is always []"),
        Fault("rest-slow", "an answer takes this many seconds", 5.0),
        Fault("rest-stall", "an answer stops for ever, before it begins or in its body", "body", ("headers", "body")),
        Fault("rest-cut", "the connection is cut in the middle of a body without a length"),
        Fault("rest-429", "HTTP 429, with the one body (a) or the other (b)", "a", ("a", "b")),
        Fault("rest-html", "an HTML page with this status", "502", ("200", "500", "502", "503", "520")),
        Fault("rest-10020", "HTTP 500 and an error of the exchange's own"),
        Fault("rest-redirect", "HTTP 302 to somewhere else"),
    ]


BY_PLACE: dict[Place, list[Fault]] = {
    "handshake": _handshake(),
    "conversation": _conversation(),
    "frames": _frames(),
    "market": _market(),
    "history": _history(),
}
BY_NAME = {fault.name: fault for faults in BY_PLACE.values() for fault in faults}


class UnknownFault(ValueError):
    """There is no fault of that name; the text gives the nearest."""

    def __init__(self, name: str) -> None:
        near = get_close_matches(name, BY_NAME, 3, 0.4)
        super().__init__(f"there is no fault {name!r}: " + (f"did you mean {' or '.join(near)}?" if near else "see --help"))


class Faults:
    """Those that are on. `random` decides for faults that befall a part of something."""

    def __init__(self, random: Random | None = None) -> None:
        self._on: dict[str, Value] = {}
        self._random = random or Random(0)
        self._watchers: list[Callable[[str], None]] = []

    def set(self, name: str, value: Value | None = None) -> None:
        """Switch a fault on. Raises UnknownFault, or ValueError for a value that it cannot have."""
        fault = BY_NAME.get(name)
        if fault is None:
            raise UnknownFault(name)
        self._on[name] = (1.0 if fault.default is None else fault.default) if value is None else fault.parse(str(value))
        for watcher in list(self._watchers):
            watcher(name)

    def set_from(self, text: str) -> None:
        """`NAME` or `NAME=VALUE`, as on a command line. Raises as `set` does."""
        name, separator, value = text.partition("=")
        self.set(name.strip(), value.strip() if separator else None)

    def clear(self, name: str | None = None) -> None:
        """Switch a fault off, or all of them. Raises UnknownFault."""
        if name is not None and name not in BY_NAME:
            raise UnknownFault(name)
        for gone in [name] if name is not None else list(self._on):
            if self._on.pop(gone, None) is not None:
                for watcher in list(self._watchers):
                    watcher(gone)

    def __contains__(self, name: str) -> bool:
        return name in self._on

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._on))

    @property
    def on(self) -> dict[str, Value | bool]:
        """Those that are on, with their values; True for one that takes none."""
        return {name: True if BY_NAME[name].default is None else value for name, value in self._on.items()}

    def word(self, name: str) -> str | None:
        """The value of a fault that has a word for one, or None if it is off."""
        value = self._on.get(name)
        return None if value is None else str(value)

    def number(self, name: str, otherwise: float = 0.0) -> float:
        """The value of a fault that has a number for one."""
        return float(self._on.get(name, otherwise))

    def take(self, name: str) -> Value | None:
        """The value of a fault that happens once, which is over with this."""
        return self._on.pop(name, None)

    def befalls(self, name: str) -> bool:
        """Whether a fault that befalls a part of something befalls this one."""
        return name in self._on and self._random.random() < self.number(name)

    def within(self, name: str) -> float:
        """A random number up to the fault's value."""
        return self._random.uniform(0.0, self.number(name))

    def watch(self, watcher: Callable[[str], None]) -> None:
        """Be told the name of each fault that is switched on or off."""
        self._watchers.append(watcher)


def describe() -> str:
    """Every fault, what it does, and the values it takes, by the place where it strikes."""
    lines = [_USE]
    for place, faults in BY_PLACE.items():
        lines.append(f"{place}:")
        for fault in faults:
            name = fault.name if fault.default is None else f"{fault.name}={_shown(fault)}"
            about = f"{fault.about} (once)" if fault.once else fault.about
            short = len(name) < _ABOUT_COLUMN - 3
            lines += [f"  {name}".ljust(_ABOUT_COLUMN) + about] if short else [f"  {name}", " " * _ABOUT_COLUMN + about]
    return "\n".join(lines)


_USE = """\
A fault stands until it is cleared. One marked (once) happens at the next chance, to connections when one of them has a
channel, and is over. The value shown, or the first of several, is taken where none is given.

While the exchange runs: curl -X PUT http://127.0.0.1:9999/faults/drop=rst switches one on, -X DELETE …/faults/late-ack off,
-X DELETE …/faults all of them; GET tells which are on.
"""

_ABOUT_COLUMN = 24


def _shown(fault: Fault) -> str:
    """Of several words, the one that is taken where none is given is the first."""
    return "|".join(dict.fromkeys([str(fault.default), *fault.choices])) if fault.choices else f"{fault.default:g}"
