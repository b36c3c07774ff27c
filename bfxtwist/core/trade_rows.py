"""One trade as one line of trade.csv, in the layout of Tardis, and the strict reading of such lines.

    exchange,symbol,timestamp,local_timestamp,id,side,price,amount
    bitfinex,BTCUSD,1542045947738000,1542045947801234,310628121,buy,6443.1,0.00265425

Times are in microseconds: the exchange's, and ours on arrival. The side is the taker's, price and amount are the exchange's
own digits (`2.8e-7` stays so), the amount without its sign. What reads these lines back trusts nothing: a line is a row of
this file to the last byte, or it is damage.
"""

import re
from collections.abc import Iterable

import msgspec

from bfxtwist.core.messages import Trade
from bfxtwist.core.symbols import parse_pair

HEADER = b"exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"

#: No part of any trade file, but some editors and spreadsheets begin a file with it.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

#: Ids are kept as 64-bit integers, and times have 16 digits of microseconds until the year 2286. Nothing near these was ever
#: seen; a number beyond them is a broken message, and must not make a row that is refused at the next start.
LARGEST_ID = 10**18
LARGEST_MTS = 10**13
_LONGEST_NUMBER = 64

#: More bytes than any row has.
LONGEST_LINE = 1024

(_MINUS,) = b"-"

_NUMBER = rb"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_ANY_ROW = re.compile(rb"([a-z-]+),([A-Z0-9:]+),[0-9]+,[0-9]+,[0-9]+,(?:buy|sell)," + _NUMBER + b"," + _NUMBER)


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A trade, and when it first came: microseconds since the epoch by our clock."""

    trade: Trade
    wall: int


class Layout:
    """The rows of one pair's file."""

    def __init__(self, symbol: str, *, demo: bool = False) -> None:
        """`symbol` is as the exchange writes it (`tBTCUSD`). Perpetuals are another exchange's, as Tardis has it.

        The rows of a `demo` look the same. Whose they are only the state beside the file says, so that the two never mix.
        """
        self.exchange = "bitfinex-derivatives" if parse_pair(symbol).perpetual else "bitfinex"
        self.source = "a demo" if demo else self.exchange
        self.symbol = symbol.removeprefix("t")
        self._start = f"{self.exchange},{self.symbol},".encode()
        times = rb"([0-9]{1,14})000,[0-9]{1,18},"
        row = re.escape(self._start) + times + rb"([0-9]{1,18}),(?:buy|sell)," + _NUMBER + b"," + _NUMBER
        self._row = re.compile(row)
        self._ids = re.compile(b"^" + row.replace(b"([0-9]{1,14})", b"[0-9]{1,14}") + b"$", re.MULTILINE)

    def line(self, arrival: Arrival) -> bytes:
        """The row, with its line end."""
        return self.lines((arrival,))[0]

    def lines(self, arrivals: Iterable[Arrival]) -> list[bytes]:
        """The rows, each with its line end. Those that came together have most of their text in common."""
        lines, last = [], None
        for arrival in arrivals:
            if arrival.wall != last:
                wall = last = arrival.wall
                bought, sold = (b"%b%%d000,%d,%%d,%b,%%b,%%b\n" % (self._start, wall, side) for side in (b"buy", b"sell"))
            trade = arrival.trade
            amount = trade.amount
            if amount[0] == _MINUS:
                lines.append(sold % (trade.mts, trade.id, trade.price, amount[1:]))
            else:
                lines.append(bought % (trade.mts, trade.id, trade.price, amount))
        return lines

    def ids(self, lines: bytes) -> list[bytes] | None:
        """The ids in some whole lines, or None if any of these is not a row of this file."""
        ids: list[bytes] = self._ids.findall(lines)
        return ids if len(ids) == lines.count(b"\n") else None

    def read(self, line: bytes) -> tuple[int, int] | None:
        """Id and the exchange's time (ms) of one line without its end, or None if it is not a row of this file."""
        row = self._row.fullmatch(line)
        return (int(row[2]), int(row[1])) if row else None

    def stranger(self, line: bytes) -> str | None:
        """Whose row a line is, if it is one of another pair."""
        row = _ANY_ROW.fullmatch(line)
        if row is None or line.startswith(self._start):
            return None
        return f"{row[2].decode()} of {row[1].decode()}"


def recordable(trade: Trade) -> bool:
    """Whether a row of this trade could be read back."""
    short = len(trade.price) <= _LONGEST_NUMBER and len(trade.amount) <= _LONGEST_NUMBER
    return short and trade.id < LARGEST_ID and trade.mts < LARGEST_MTS
