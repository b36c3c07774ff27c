"""The exchange of a soak, a process of its own: told on standard input what shall go wrong, it answers on standard output.

    -> set drop=rst        switch a fault on                          <- ok
    -> clear rest-slow     switch it off; without a name, all         <- ok
    -> state               what came to the door                      <- {"connects": 12, "connects_refused": 0, …}

The first line that it says is its port. It ends with its standard input.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from bfxtwist.exchange.embedded import REAL_LIMITS, EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits


class Control(LineOnlyReceiver):
    """Standard input and output."""

    delimiter = b"\n"

    def __init__(self, exchange: EmbeddedExchange) -> None:
        self.exchange = exchange
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.sendLine(b"%d" % self.exchange.port)

    def lineReceived(self, line: bytes) -> None:
        word, _, rest = line.decode().partition(" ")
        if word == "set":
            self.exchange.faults.set_from(rest)
        elif word == "clear":
            self.exchange.faults.clear(rest or None)
        self.sendLine(json.dumps(self.state()).encode() if word == "state" else b"ok")

    def state(self) -> dict[str, Any]:
        """What came to the door, and what of it was turned away for coming too often."""
        door, asked = self.exchange.entrance.connects, self.exchange.rest.rates.get("trades")
        return {
            "connects": door.admitted,
            "connects_refused": door.breaches,
            "pages": asked.admitted if asked else 0,
            "pages_refused": asked.breaches if asked else 0,
        }

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(None)


async def _serve(reactor: Any, words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.exchange_side", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--symbols", required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--unlimited", action="store_true")
    chosen = parser.parse_args(words)
    market = SimulatedMarket(chosen.seed, chosen.symbols.split(","), rate=chosen.rate, ledger=chosen.ledger)
    exchange = EmbeddedExchange(reactor, market, limits=Limits() if chosen.unlimited else REAL_LIMITS)
    await exchange.start()
    control = Control(exchange)
    StandardIO(control)
    await control.ended
    await exchange.stop()


if __name__ == "__main__":
    import sys

    react(lambda reactor: Deferred.fromCoroutine(_serve(reactor, sys.argv[1:])))
