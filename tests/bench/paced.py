"""Latency, and CPU per message, at rates that occur: single frames and bursts at 1,000 to 20,000 messages a second.

    book      sent ──► the book has taken it in       within the client's process, by its own callback
    HTTP      sent ──► a GET /book shows it           asked over and over on one connection
    CSV       sent ──► its row stands in the file     the file is looked at every 0.2 ms
    feed      ping ──► pong                           a WebSocket ping right behind an update: when the feed turns to it
"""

import http.client
import json
import threading
import time
from bisect import bisect_left
from contextlib import nullcontext
from statistics import median
from typing import Any, BinaryIO, NamedTuple

from tests.bench.contestants import BFXTWIST, CONTESTANTS, Contestant, Running, scripted
from tests.bench.cpu import cpu_seconds, wait_idle
from tests.bench.http_load import Load
from tests.bench.replay import Replay
from tests.bench.script import Workload

#: bfxtwist by its Python API, which is where an update can be seen to arrive.
WITHIN = Contestant("bfxtwist", scripted("bfxtwist_client.py"), lambda: True, "checksums, sequence")
CRYPTOFEED = next(one for one in CONTESTANTS if one.name == "cryptofeed")


class Latency(NamedTuple):
    """In milliseconds; `cpu` in µs per message."""

    p50: float
    p99: float
    cpu: float = 0.0


def _latency(seconds: list[float], cpu: float = 0.0) -> Latency:
    if not seconds:
        raise RuntimeError("nothing of what was sent was seen to arrive")
    ordered = sorted(seconds)
    return Latency(1e3 * median(ordered), 1e3 * ordered[int(0.99 * (len(ordered) - 1))], cpu)


def to_book(contestant: Contestant, rate: float, burst: int, seconds: float) -> Latency:
    """Socket to book."""
    count = int(rate * seconds)
    workload = Workload("paced", messages=count + 2000)
    with Replay(workload) as replay, Running(contestant, workload, replay, paced=True) as running:
        replay.pace(rate, burst, 1000)
        wait_idle(running.pid)
        before = cpu_seconds(running.pid)
        sent: dict[int, float] = replay.pace(rate, burst, count)["sent"]
        used = cpu_seconds(running.pid) - before
        arrived: dict[int, float] = dict(running.finish()["arrived"])
    if max(arrived, default=0) < max(sent):
        raise RuntimeError(f"{contestant.name} has not taken in all that was sent")
    return _latency(_taken(sent, arrived), 1e6 * used / count)


def _taken(sent: dict[int, float], arrived: dict[int, float]) -> list[float]:
    """How long each took: a client that takes several in at once shows the number of the last."""
    numbers = sorted(arrived)
    firsts = {number: bisect_left(numbers, number) for number in sent}
    return [arrived[numbers[first]] - sent[number] for number, first in firsts.items() if first < len(numbers)]


def to_http(rate: float, burst: int, seconds: float) -> Latency:
    """Socket to GET /book: for each answer that shows something new, the age of the newest update in it."""
    workload = Workload("paced", messages=int(rate * seconds) + 1000)
    with Replay(workload) as replay, Running(BFXTWIST, workload, replay) as running:
        seen: list[tuple[int, float]] = []
        asking = threading.Event()
        asker = threading.Thread(target=_ask, args=(running.work.http_port, asking, seen))
        asker.start()
        sent: dict[int, float] = replay.pace(rate, burst, int(rate * seconds))["sent"]
        asking.set()
        asker.join()
    return _latency([at - sent[nonce] for nonce, at in seen if nonce in sent])


def _ask(port: int, done: threading.Event, seen: list[tuple[int, float]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    last = 0
    while not done.is_set():
        connection.request("GET", "/book")
        book = json.loads(connection.getresponse().read())
        if book["nonce"] != last:
            last = book["nonce"]
            seen.append((last, time.monotonic()))


def to_csv(rate: float, burst: int, seconds: float) -> Latency:
    """Socket to the row in trade.csv, of those messages that bring a new trade."""
    count = int(rate * seconds)
    workload = Workload("paced", channel="trades", messages=count + 100)
    with Replay(workload) as replay, Running(BFXTWIST, workload, replay) as running:
        rows: list[float] = []
        done = threading.Event()
        with next(running.folder.rglob("trade.csv")).open("rb") as file:
            file.seek(0, 2)
            follower = threading.Thread(target=_follow, args=(file, done, rows))
            follower.start()
            sent: dict[int, float] = replay.pace(rate, burst, count)["sent"]
            done.set()
            follower.join()
    # The sequence starts with the snapshot; of the messages after it, the first two and then every other one are new.
    first = min(sent)
    numbers = [0, 1, *range(2, count, 2)]
    sent_rows = [sent[first + number] for number in numbers if first + number in sent]
    if len(rows) != len(sent_rows):
        raise RuntimeError(f"{len(rows)} rows were written for {len(sent_rows)} trades")
    return _latency([at - when for when, at in zip(sent_rows, rows, strict=True)])


def _follow(file: BinaryIO, done: threading.Event, rows: list[float]) -> None:
    """When each row was there."""
    last = False
    while not last:
        last = done.is_set()
        lines = file.read().count(b"\n")
        rows += [time.monotonic()] * lines
        time.sleep(0.0002)


def under_load(rate: float, seconds: float, connections: int, requests: float | None) -> Latency:
    """When the feed turns to a frame, while `connections` ask for the book: flat out, or so many times a second."""
    count = int(rate * seconds)
    workload = Workload("paced", levels=250, messages=count + 1000)
    with (
        Replay(workload) as replay,
        Running(BFXTWIST, workload, replay) as running,
        Load(running.work.http_port, connections, requests) if connections else nullcontext(),
    ):
        time.sleep(0.5)
        found = replay.pace(rate, 1, count, ping_every=10)
    if found["unanswered"]:
        raise RuntimeError(f"{found['unanswered']} pings were not answered")
    return _latency(found["pongs"])


def compare(rates: list[float], seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Single frames and bursts of 20 at each rate, bfxtwist and cryptofeed in turns; medians of the rounds."""
    figures = []
    for rate in rates:
        for burst in (1, 20):
            contestants = [WITHIN, *([CRYPTOFEED] if CRYPTOFEED.available() else [])]
            runs: dict[str, list[Latency]] = {one.name: [] for one in contestants}
            for _round in range(rounds):
                for one in contestants:
                    runs[one.name].append(to_book(one, rate, burst, seconds))
            for name, done in runs.items():
                middle = Latency(*(median(values) for values in zip(*done, strict=True)))
                figures.append({"client": name, "rate": rate, "burst": burst, **middle._asdict()})
    return figures
