"""Times that matter, measured on this machine and printed: `python -m tests.soak.figures`. No test depends on them.

    start and stop     of the real process, in each state that can be brought about from outside
    under load         from a trade at the exchange to its row in the file; how long the process lets a request wait
    readers            GET /book at a fixed pace while the book is fed
"""

import http.client
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.soak.measures import percentile
from tests.soak.processes import DaemonProcess, ExchangeProcess

SEED = 20261122
SECONDS = 20.0

#: At the usual pace some 40 rows of a book come in a second, for each pair.
ROWS_A_SECOND = 40.0
PAIRS = ("BTC/USD", "ETH/USD", "LTC/USD", "XRP/USD")
SYMBOLS = ("tBTCUSD", "tETHUSD", "tLTCUSD", "tXRPUSD")

#: Each reader asks so often, in requests a second; so many readers.
READER_PACE = 50.0
READERS = 10

#: What stands in the way of each state; the faults are on while the daemon starts.
STATES = {
    "connecting": ("handshake=hang",),
    "no greeting": ("silence",),
    "not subscribed": ("no-ack",),
    "no history": ("rest-stall=body",),
    "backing off": ("handshake=503",),
    "live": (),
}


class Times(NamedTuple):
    """In ms."""

    values: list[float]

    def __str__(self) -> str:
        parts = {"median": 0.5, "p99": 0.99}
        said = [f"{name} {percentile(self.values, part):.1f} ms" for name, part in parts.items()]
        return f"{', '.join(said)}, most {max(self.values, default=0):.1f} ms ({len(self.values)})"


def say(name: str, text: object) -> None:
    """One line of the report."""
    sys.stdout.write(f"{name:<34} {text}\n")
    sys.stdout.flush()


@contextmanager
def exchange_at(rate: float, symbols: tuple[str, ...]) -> Iterator[tuple[ExchangeProcess, Path]]:
    """An exchange and a folder for daemons."""
    folder = Path(tempfile.mkdtemp(prefix="figures-"))
    exchange = ExchangeProcess(folder, seed=SEED, rate=rate, symbols=symbols, unlimited=True)
    try:
        yield exchange, folder
    finally:
        exchange.stop()


def starting_and_stopping() -> None:
    """From nothing to serving and to live, and the way out of each state."""
    with exchange_at(4, SYMBOLS[:1]) as (exchange, folder):
        for state, faults in STATES.items():
            for fault in faults:
                exchange.tell(f"set {fault}")
            daemon = DaemonProcess(state.replace(" ", "-"), folder, PAIRS[:1], exchange.port)
            began = time.monotonic()
            daemon.start()
            serving = time.monotonic() - began
            while state == "live" and not daemon.ready:
                time.sleep(0.01)
            live = time.monotonic() - began
            time.sleep(1.0)
            code, seconds = daemon.terminate()
            exchange.tell("clear")
            if state == "live":
                say("start", f"serving after {serving:.2f} s, live after {live:.2f} s")
            say(f"stop, {state}", f"{seconds:.2f} s, {'by SIGTERM' if code == -signal.SIGTERM else f'exit {code}'}")


def under_load(rows_a_second: float) -> None:
    """One daemon on four pairs, looked at from outside."""
    rate = rows_a_second / ROWS_A_SECOND / len(PAIRS)
    with exchange_at(rate, SYMBOLS) as (exchange, folder):
        daemon = DaemonProcess("loaded", folder, PAIRS, exchange.port)
        daemon.start()
        while not daemon.ready:
            time.sleep(0.05)
        path = daemon.folder / "data" / "BTC-USD" / "trade.csv"
        waits, rows = Times([]), Times([])
        before = daemon.get("/status")["feed"]["counters"]["frames"]
        run_for(SECONDS, [lambda end: ask(daemon.url, "/livez", 50.0, end, waits), lambda end: follow(path, end, rows)])
        after = daemon.get("/status")["feed"]
        say("messages a second", f"{(after['counters']['frames'] - before) / SECONDS:.0f}, connections lost {after['ends']}")
        say("a trade to its row in the file", rows)
        say("GET /livez, 50 a second", waits)
        books = Times([])
        run_for(SECONDS, [lambda end: ask(daemon.url, "/book?pair=BTC/USD", READER_PACE, end, books)] * READERS)
        say(f"GET /book, {READERS * READER_PACE:.0f} a second", books)
        daemon.terminate()


def run_for(seconds: float, jobs: list[Callable[[float], None]]) -> None:
    """All of them at once, until then."""
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=job, args=(end,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ask(url: str, path: str, pace: float, end: float, times: Times) -> None:
    """Ask at a fixed pace on one connection. What a late answer delays counts from when it was due."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    due = time.monotonic()
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        connection.request("GET", path)
        connection.getresponse().read()
        times.values.append((time.monotonic() - due) * 1000)
        due += 1 / pace
    connection.close()


def follow(path: Path, end: float, times: Times) -> None:
    """From the exchange's time in a row to the moment in which the row can be read; both clocks are this machine's."""
    with path.open("rb") as file:
        file.seek(0, 2)
        rest = b""
        while time.monotonic() < end:
            rest += file.read()
            now = time.time() * 1000
            *rows, rest = rest.split(b"\n")
            times.values.extend(now - int(row.split(b",")[2]) / 1000 for row in rows)
            time.sleep(0.002)


def main() -> None:
    """Print them all."""
    starting_and_stopping()
    under_load(2000.0)


if __name__ == "__main__":
    main()
