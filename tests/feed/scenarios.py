"""What can go wrong between here and the exchange, by name: what happens, and what must have come of it.

A scenario begins with a book and trades that are live. `fault` is done to the world, then `lasts` seconds pass, then the
fault ends, and everything must be live and verified again within `recovers` seconds, the longest pause that its back-off
could have come to included. `ends` is the word under which a lost connection was counted, None where none may be lost.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.feed.network import World

#: After the first failure the back-off waits up to 1 s, subscribing takes up to 0.2 s, and a checksum comes every 2.8 s.
SOON = 5.0
AFTER_BACKOFF = 60.0 + SOON


class Scenario(NamedTuple):
    """One fault. `quiet` is whether no feed may leave live while it lasts."""

    name: str
    fault: Callable[[World], None]
    lasts: float
    recovers: float
    ends: str | None
    quiet: bool = False
    end: Callable[[World], None] = lambda world: world.exchange.faults.clear()


def _faults(*texts: str) -> Callable[[World], None]:
    """Switch these on at the exchange."""

    def act(world: World) -> None:
        for text in texts:
            world.exchange.faults.set_from(text)

    return act


def _then_cut(*texts: str) -> Callable[[World], None]:
    """Switch these on, and cut the connection, so that they are met on the way back."""

    def act(world: World) -> None:
        _faults(*texts)(world)
        world.network.cut()

    return act


def _mood(mood: str) -> Callable[[World], None]:
    def act(world: World) -> None:
        world.network.mood = mood
        world.network.cut()

    return act


def _up(world: World) -> None:
    world.network.mood = "up"
    world.network.frozen = False


def _freeze(world: World) -> None:
    world.network.frozen = True


def _restart_and_back(world: World) -> None:
    world.exchange.faults.set("maintenance-start")
    world.clock.callLater(40, world.exchange.faults.set, "maintenance-end")


def _twice(text: str, apart: float) -> Callable[[World], None]:
    def act(world: World) -> None:
        world.exchange.faults.set_from(text)
        world.clock.callLater(apart, world.exchange.faults.set_from, text)

    return act


def _handshakes() -> Iterator[Scenario]:
    for code in ("301", "408", "500", "502", "503", "504", "html", "garbage", "not-utf8", "wrong-accept", "drop"):
        yield Scenario(f"handshake answered with {code}", _then_cut(f"handshake={code}"), 20, AFTER_BACKOFF, "handshake")
    yield Scenario("handshake answered with 429", _then_cut("handshake=429"), 20, 65 + SOON, "handshake")
    yield Scenario("handshake hangs", _then_cut("handshake=hang"), 20, AFTER_BACKOFF, "handshake")
    yield Scenario("handshake drips", _then_cut("handshake=drip"), 20, AFTER_BACKOFF, "handshake")
    yield Scenario("handshake's header is endless", _then_cut("handshake=endless"), 20, AFTER_BACKOFF, "handshake")
    yield Scenario("handshake is followed by silence", _then_cut("silence"), 40, AFTER_BACKOFF, "unanswered")
    yield Scenario("greeting has another version", _then_cut("version=3"), 20, AFTER_BACKOFF, "version")
    yield Scenario("greeting tells of maintenance", _then_cut("platform-status=0"), 20, SOON, "lost")


def _network() -> Iterator[Scenario]:
    yield Scenario("connection refused", _mood("refused"), 30, AFTER_BACKOFF, "connect", end=_up)
    yield Scenario("host unreachable", _mood("unreachable"), 30, AFTER_BACKOFF, "connect", end=_up)
    yield Scenario("name unknown", _mood("unknown"), 30, AFTER_BACKOFF, "connect", end=_up)
    yield Scenario("plug pulled for a second", _freeze, 1, SOON, None, end=_up)
    yield Scenario("plug pulled for a minute", _freeze, 60, AFTER_BACKOFF, "lost", end=_up)
    for how in ("rst", "fin", "close", "mid-frame"):
        yield Scenario(f"connection dropped by {how}", _faults(f"drop={how}"), 1, SOON, "lost")
    yield Scenario("connection dropped every few frames", _faults("drop-after=60"), 120, AFTER_BACKOFF, "lost")


def _conversation() -> Iterator[Scenario]:
    yield Scenario("acknowledgement takes 13 s", _then_cut("late-ack=13"), 1, 15 + SOON, "lost")
    yield Scenario("acknowledgement takes 40 s", _then_cut("late-ack=40"), 60, AFTER_BACKOFF, "lost")
    yield Scenario("heartbeat before the acknowledgement", _then_cut("hb-before-ack=7"), 1, 10 + SOON, "lost")
    yield Scenario("acknowledgements out of order", _then_cut("shuffled-acks=2"), 1, 3 + SOON, "lost")
    yield Scenario("acknowledgement twice", _then_cut("ack-twice"), 1, SOON, "lost")
    yield Scenario("acknowledgement of another symbol", _then_cut("wrong-ack"), 1, 2 * SOON, "wrong-answer")
    yield Scenario("no acknowledgement", _then_cut("no-ack"), 70, AFTER_BACKOFF, "unanswered")
    yield Scenario("keys in alphabetical order", _then_cut("sorted-keys"), 1, SOON, "lost")
    yield Scenario("conf refused", _then_cut("refuse-conf"), 20, AFTER_BACKOFF, "conf")
    yield Scenario("conf not answered", _then_cut("no-conf"), 40, AFTER_BACKOFF, "unanswered")
    yield Scenario("subscriptions refused for now", _then_cut("refuse=11000"), 20, AFTER_BACKOFF, "lost")
    yield Scenario("pings not answered", _faults("no-pong"), 120, SOON, None, quiet=True)
    yield Scenario("server restarts", _faults("restart"), 1, 5 + SOON, "restart")
    yield Scenario("maintenance for 40 s", _restart_and_back, 40, SOON, None)
    yield Scenario("maintenance without an end", _faults("maintenance-start"), 125, 2 * SOON, "maintenance")
    yield Scenario("end of a maintenance that was not announced", _faults("maintenance-end"), 1, SOON, None)


def _frames() -> Iterator[Scenario]:
    for fault in ("skip-seq", "repeat-seq", "restart-seq"):
        yield Scenario(f"sequence: {fault}", _faults(fault), 1, SOON, "sequence")
    yield Scenario("level corrupted", _faults("corrupt-level"), 5, SOON, None)
    yield Scenario("update lost unseen", _faults("lose-update"), 5, SOON, None)
    yield Scenario("level deleted that was never there", _faults("ghost-delete"), 5, SOON, None, quiet=True)
    yield Scenario("book crossed for good", _faults("crossed"), 5, 2 * SOON, None)
    yield Scenario("checksum wrong once", _faults("wrong-cs"), 4, SOON, None)
    yield Scenario("checksum wrong twice", _twice("wrong-cs", 4), 9, 2 * SOON, None)
    yield Scenario("checksum always wrong", _faults("always-wrong-cs"), 60, AFTER_BACKOFF, "still-wrong")
    yield Scenario("no checksums", _faults("no-cs"), 70, SOON, None, quiet=True)
    # What was not told meanwhile is found by the first checksum, and put right by the one after that.
    yield Scenario("nothing but heartbeats", _faults("stall=hb", "no-cs"), 60, 2 * SOON, None, quiet=True)
    yield Scenario("nothing at all", _faults("stall=nothing"), 40, AFTER_BACKOFF, "silence")
    yield Scenario("book falls silent", _faults("stall-channel=book"), 40, 2 * SOON, None)
    yield Scenario("trades fall silent", _faults("stall-channel=trades"), 40, 2 * SOON, None)
    yield Scenario("further fields in frames", _faults("extra-fields"), 20, SOON, None, quiet=True)
    for kind in ("unknown-channel", "unknown-event", "unknown-kind", "empty-row"):
        yield Scenario(f"junk: {kind}", _faults(f"junk={kind}"), 1, SOON, None, quiet=True)
    for kind in ("malformed", "binary", "nan", "huge-number", "deep", "scalar"):
        yield Scenario(f"junk: {kind}", _faults(f"junk={kind}"), 1, SOON, "malformed")
    yield Scenario("junk: 2 MiB in a frame", _faults("junk=huge"), 1, SOON, "lost")
    for fault in ("te-missing=0.5", "te-twice=0.5", "tu-missing=1", "tu-late=2", "tu-out-of-order=2"):
        yield Scenario(f"trades: {fault}", _faults(fault), 20, SOON, None, quiet=True)


def _markets() -> Iterator[Scenario]:
    for book in ("thin", "one-sided", "empty"):
        yield Scenario(f"book: {book}", _then_cut(f"book={book}"), 10, SOON, "lost")
    yield Scenario("amounts with exponents", _then_cut("exponents"), 10, SOON, "lost")
    yield Scenario("quiet market", _faults("quiet"), 120, SOON, None, quiet=True)


SCENARIOS = [*_handshakes(), *_network(), *_conversation(), *_frames(), *_markets()]
