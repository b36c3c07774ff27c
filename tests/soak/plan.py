"""What goes wrong in a soak, and when: all of it from one seed.

A plan is the same for the same seed and length. What the daemons make of it is not the same to the microsecond: they are
real processes on real sockets.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

#: From one fault to the next, in seconds.
APART = 20.0, 60.0

#: The last fault is over so many seconds before the end, at least.
CALM_AT_THE_END = 20.0


class Kind(NamedTuple):
    """One kind of thing that goes wrong.

    `faults` are set at the exchange; those that happen once end by themselves, the others after `lasts` (least and most
    seconds). With `cut` the connections are cut as well, so that the fault is met on the way back. `deed` is what is done to
    a daemon instead: one of `kill`, `kill-twice`, `restart`, `freeze`, `disk-full`, `hangup`.
    """

    name: str
    faults: tuple[str, ...] = ()
    lasts: tuple[float, float] = (0.0, 0.0)
    cut: bool = False
    deed: str = ""
    weight: int = 1


class Event(NamedTuple):
    """Something to do at a time. `what` is `set X`, `clear X` (for the exchange), a deed, or the end of one (`-freeze`)."""

    at: float  # s since the start
    what: str
    of: str  # the name of the kind
    first: bool = False  # of the events of one fault


def _standing(name: str, *faults: str, lasts: tuple[float, float] = (10.0, 25.0), cut: bool = False) -> Kind:
    return Kind(name, faults or (name,), lasts, cut)


KINDS = [
    Kind("kill -9", deed="kill", weight=10),
    Kind("kill -9 twice", deed="kill-twice", weight=4),
    Kind("SIGTERM and start", deed="restart", weight=2),
    Kind("SIGHUP", deed="hangup"),
    Kind("SIGSTOP", lasts=(3.0, 25.0), deed="freeze", weight=2),
    Kind("disk full", lasts=(5.0, 30.0), deed="disk-full", weight=5),
    *(Kind(f"drop={how}", (f"drop={how}",), weight=2) for how in ("rst", "fin", "mid-frame", "close")),
    *(Kind(name, (name,)) for name in ("skip-seq", "repeat-seq", "restart-seq", "restart", "wrong-cs", "ghost-delete")),
    *(Kind(name, (name,), weight=2) for name in ("corrupt-level", "lose-update")),
    *(Kind(f"junk={what}", (f"junk={what}",)) for what in ("malformed", "binary", "nan", "unknown-channel", "huge")),
    _standing("maintenance", "maintenance-start"),
    _standing("handshake=503", cut=True),
    _standing("handshake=429", lasts=(2.0, 8.0), cut=True),
    _standing("handshake=hang", cut=True),
    _standing("handshake=garbage", cut=True),
    _standing("silence", cut=True),
    _standing("no-ack", cut=True),
    _standing("late-ack=13", cut=True),
    _standing("refuse=11000", cut=True),
    _standing("drop-after=300"),
    _standing("stall=hb"),
    _standing("stall=nothing", lasts=(20.0, 45.0)),
    _standing("stall-channel=book", lasts=(20.0, 45.0)),
    _standing("stall-channel=trades", lasts=(20.0, 45.0)),
    _standing("stop-reading"),
    _standing("trades not told", "te-missing=0.3", "tu-missing=1"),
    _standing("te-twice=0.5"),
    _standing("tu-out-of-order=2"),
    _standing("mts-drift=9"),
    *(_standing(f"rest-429={body}", lasts=(10.0, 30.0), cut=True) for body in ("a", "b")),
    *(_standing(name, cut=True) for name in ("rest-html=502", "rest-cut", "rest-stall=body", "rest-empty")),
    *(_standing(name, cut=True) for name in ("rest-unsorted", "rest-lag=8", "rest-short-page=50", "rest-slow=4")),
    *(_standing(name, cut=True) for name in ("rest-ties", "rest-redirect")),
]


def plan(seed: int, seconds: float) -> list[Event]:
    """Everything that happens in so many seconds, in its order."""
    random = Random(seed)
    events: list[Event] = []
    now = random.uniform(*APART)
    while now < seconds - CALM_AT_THE_END:
        [kind] = random.choices(KINDS, [one.weight for one in KINDS])
        lasts = random.uniform(*kind.lasts)
        if now + lasts < seconds - CALM_AT_THE_END:
            first, *more = _events(kind, now, lasts, random)
            events += [first._replace(first=True), *more]
        now += lasts + random.uniform(*APART) / (2 if lasts else 1)
    return sorted(events)


def _events(kind: Kind, at: float, lasts: float, random: Random) -> Iterator[Event]:
    if kind.deed == "kill-twice":
        # Again while it starts: reads its file, connects, or waits for history.
        yield Event(at, "kill", kind.name)
        yield Event(at + random.uniform(0.3, 4.0), "kill", kind.name)
    elif kind.deed:
        yield Event(at, kind.deed, kind.name)
        if lasts:
            yield Event(at + lasts, f"-{kind.deed}", kind.name)
    for fault in kind.faults:
        yield Event(at, f"set {fault}", kind.name)
        if lasts:
            end = "set maintenance-end" if fault == "maintenance-start" else f"clear {fault.partition('=')[0]}"
            yield Event(at + lasts, end, kind.name)
    if kind.cut:
        yield Event(at + 0.01, "set drop=rst", kind.name)
