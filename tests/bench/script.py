"""What the replay server sends: seeded markets, and a recorded one, as bodies of array frames made ahead.

The checksums are computed here, by a few lines of their own, from the tokens: a client that verifies them really does.
Tokens have at most eight decimals and no exponent: clients that hold numbers as floats can verify them too.
"""

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from tests.bench.symbols import symbols

#: One checksum for so many updates of a book. Recorded: one for 10 to 20 (2018), one for about 75 (2026).
CHECKSUM_EVERY = 50

#: Updates of one book that come in a row. Recorded in 2018: 3,380 batches of 17.5 on average, nine in ten of 5 to 35.
BATCH = (5, 30)

FIRST_TRADE = 310_000_000
FIRST_MTS = 1_795_000_000_000


class Workload(NamedTuple):
    """What a client has to keep up with."""

    name: str
    channel: str = "book"
    pairs: int = 1
    levels: int = 25
    precision: str = "P0"
    messages: int = 200_000
    recording: Path | None = None
    by_turns: bool = False  # of many books each update is another one's, which is harder than anything recorded
    fault: str = ""  # one "checksum" is wrong, or one number of the "sequence" is missing, half-way

    @property
    def symbols(self) -> list[str]:
        """The exchange's symbols of the pairs."""
        return symbols(self.pairs)

    @property
    def has_checksums(self) -> bool:
        """Whether there are checksums to verify: the recording was made without."""
        return self.channel == "book" and self.recording is None

    @property
    def trade_ids(self) -> range:
        """The ids of the trades that are streamed."""
        return range(FIRST_TRADE, FIRST_TRADE + 3 * (self.messages // 2), 3)


class Script(NamedTuple):
    """The snapshot of each symbol, then bodies, each with its symbol. A body is what stands between id and number."""

    snapshots: dict[str, bytes]
    bodies: list[tuple[str, bytes]]


class _Side:
    """One side of a seeded book: prices in tenths and rows, best first."""

    def __init__(self, sign: int, depth: int, random_: random.Random, raw: bool) -> None:
        self.sign, self.random, self.raw = sign, random_, raw
        self.prices = [100_000 - sign * (5 + 5 * rank) for rank in range(depth)]
        self.next_id = 1_000_000_000 * (2 + sign)
        self.rows = [self.row(price) for price in self.prices]

    def row(self, price: int) -> tuple[bytes, bytes, bytes]:
        """A row of tokens at a price."""
        token = b"%d" % (price // 10) if price % 10 == 0 else b"%d.%d" % (price // 10, price % 10)
        amount = f"{self.random.uniform(0.01, 5):.8f}".rstrip("0").rstrip(".")
        signed = (amount if self.sign > 0 else "-" + amount).encode()
        if not self.raw:
            return token, b"%d" % self.random.randint(1, 9), signed
        self.next_id += 1
        return b"%d" % self.next_id, token, signed

    def change(self) -> list[tuple[bytes, bytes, bytes]]:
        """Set a level anew."""
        rank = self.rank()
        row = self.row(self.prices[rank])
        self.rows[rank] = (self.rows[rank][0], *row[1:]) if self.raw else row
        return [self.rows[rank]]

    def replace(self) -> list[tuple[bytes, bytes, bytes]]:
        """Delete a level, and add one at a price that nobody asks yet, so that the depth stays what it is."""
        rank = self.rank()
        gone = self.rows.pop(rank)
        del self.prices[rank]
        price = self.prices[0]
        while price in self.prices:
            price = 100_000 - self.sign * (1 + int(self.random.expovariate(0.25 / len(self.rows))))
        added = self.row(price)
        rank = sum(self.sign * other > self.sign * price for other in self.prices)
        self.prices.insert(rank, price)
        self.rows.insert(rank, added)
        return [(gone[0], b"0", b"1" if self.sign > 0 else b"-1"), added]

    def rank(self) -> int:
        """Near the top more often than far from it."""
        return min(int(self.random.expovariate(10 / len(self.rows))), len(self.rows) - 1)


class _Market:
    """One seeded book."""

    def __init__(self, seed: int, levels: int, raw: bool) -> None:
        self.random = random.Random(seed)
        self.bids, self.asks = _Side(1, levels, self.random, raw), _Side(-1, levels, self.random, raw)

    def snapshot(self) -> bytes:
        return b"[%b]" % b",".join(_row(row) for row in [*self.bids.rows, *self.asks.rows])

    def bodies(self) -> Iterator[bytes]:
        """Updates without an end: a third each of levels set anew, deleted and added, as recorded in 2018."""
        sent = 0
        while True:
            side = self.random.choice((self.bids, self.asks))
            rows = side.replace() if self.random.random() < 0.46 else side.change()
            yield from map(_row, rows)
            before, sent = sent, sent + len(rows)
            if before // CHECKSUM_EVERY != sent // CHECKSUM_EVERY:
                yield b'"cs",%d' % checksum(self.bids.rows, self.asks.rows)


def _row(row: tuple[bytes, ...]) -> bytes:
    return b"[%b]" % b",".join(row)


def checksum(bids: list[tuple[bytes, bytes, bytes]], asks: list[tuple[bytes, bytes, bytes]]) -> int:
    """The signed CRC-32 of the top 25 levels, as documented (ws-websocket-checksum)."""
    parts: list[bytes] = []
    for rank in range(25):
        parts += [b"%b:%b" % (side[rank][0], side[rank][2]) for side in (bids, asks) if rank < len(side)]
    value = crc32(b":".join(parts))
    return value - (1 << 32) if value >= 1 << 31 else value


def books(workload: Workload) -> Script:
    """Books whose batches come in random order, or each of whose updates does."""
    names = workload.symbols
    markets = [_Market(seed, workload.levels, workload.precision == "R0") for seed in range(len(names))]
    snapshots = {name: market.snapshot() for name, market in zip(names, markets, strict=True)}
    streams = [market.bodies() for market in markets]
    pick = random.Random(4)
    bodies: list[tuple[str, bytes]] = []
    while len(bodies) < workload.messages:
        one = pick.randrange(len(names))
        batch = 1 if workload.by_turns else pick.randint(*BATCH)
        bodies += [(names[one], next(streams[one])) for _ in range(batch)]
    del bodies[workload.messages :]
    if workload.fault == "checksum":
        at = next(at for at in range(len(bodies) // 2, len(bodies)) if bodies[at][1].startswith(b'"cs"'))
        bodies[at] = (bodies[at][0], b'"cs",1')
    return Script(snapshots, bodies)


def trades(workload: Workload) -> Script:
    """Trades of each pair in turn, each as `te` and, two trades later, as `tu`."""
    names, pick = workload.symbols, random.Random(5)
    bodies: list[tuple[str, bytes]] = []
    told: list[tuple[str, bytes]] = []
    for number, trade_id in enumerate(workload.trade_ids):
        amount = f"{pick.uniform(-5, 5):.8f}".rstrip("0").rstrip(".") or "0.5"
        price = b"%d.%d" % (10_000 + pick.randrange(500), pick.randrange(1, 10))
        row = b"[%d,%d,%b,%b]" % (trade_id, FIRST_MTS + number, amount.encode(), price)
        symbol = names[number % len(names)]
        bodies.append((symbol, b'"te",' + row))
        told.append((symbol, b'"tu",' + row))
        if len(told) > 2:
            bodies.append(told.pop(0))
    snapshot = b"[%b]" % b",".join(b"[%d,%d,0.5,10000]" % (FIRST_TRADE - 5 - n, FIRST_MTS - 5 - n) for n in range(30))
    return Script(dict.fromkeys(names, snapshot), bodies + told)


def recorded(path: Path, most: int) -> Script:
    """The book of the recorded tBTCUSD: its first snapshot, and every update after it until the connection was lost."""
    bodies: list[tuple[str, bytes]] = []
    snapshot, channel = b"", None
    with gzip.open(path) as lines:
        for line in lines:
            message = json.loads(line)
            if isinstance(message, dict) or len(bodies) >= most:
                if isinstance(message, dict) and message.get("channel") == "book" and channel is None:
                    channel = message["chanId"]
                continue
            if message[0] != channel or message[1] == "hb":
                continue
            body = line.strip().split(b",", 1)[1][:-1]
            if isinstance(message[1][0], list):
                if snapshot:
                    break
                snapshot = body
            else:
                bodies.append(("tBTCUSD", body))
    return Script({"tBTCUSD": snapshot}, bodies)


def script(workload: Workload) -> Script:
    """The script of a workload; the same each time."""
    if workload.recording is not None:
        return recorded(workload.recording, workload.messages)
    return trades(workload) if workload.channel == "trades" else books(workload)
