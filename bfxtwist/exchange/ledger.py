"""The truth that tests compare with: every trade that the exchange ever made, in the order of execution."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from bfxtwist.core.messages import Trade
from bfxtwist.core.wire import decode_trades, encode_row


class Ledger(dict[str, list[Trade]]):
    """Trades by symbol, as `te` told them.

    With a path, each is also a line `{"symbol":"tBTCUSD","trade":[ID,MTS,AMOUNT,PRICE]}` of that file. Where `keeps`
    is false, it is that alone.
    """

    keeps = True

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._file: BinaryIO | None = None
        if path is not None:
            self._file = path.open("ab", buffering=0)

    def __missing__(self, symbol: str) -> list[Trade]:
        return self.setdefault(symbol, [])

    def record(self, symbol: str, trade: Trade) -> None:
        """One more trade. With a file, it is the kernel's when this returns: the exchange may be killed after it."""
        if self.keeps:
            self[symbol].append(trade)
        if self._file is not None:
            self._file.write(b'{"symbol":"%b","trade":%b}\n' % (symbol.encode(), encode_row(trade.row)))

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_ledger(path: Path) -> Mapping[str, list[Trade]]:
    """What a ledger file says, by symbol. Raises ValueError for a line that is not one of a ledger's."""
    trades: dict[str, list[Trade]] = defaultdict(list)
    for line in path.read_bytes().splitlines():
        head, separator, row = line.partition(b'","trade":')
        if not separator or not head.startswith(b'{"symbol":"'):
            raise ValueError(f"not a line of a ledger: {line[:80]!r}")
        trades[head.removeprefix(b'{"symbol":"').decode()] += decode_trades(b"[%b]" % row.removesuffix(b"}"))
    return trades
