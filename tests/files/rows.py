"""Trades and trade files for the tests of this folder, written by the code that the daemon writes with."""

from collections.abc import Iterable
from pathlib import Path

from hypothesis import strategies as st

from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.files.recording import Recording, recordings

SYMBOL = "tBTCUSD"
FIRST_MTS = 1_542_045_947_738


def arrival(
    number: int, mts: int | None = None, wall: int | None = None, deal: tuple[bytes, bytes] = (b"0.5", b"6443.1")
) -> Arrival:
    """A trade with this id, a second after the one before it and 50 ms under way, unless said otherwise."""
    mts = FIRST_MTS + number * 1000 if mts is None else mts
    return Arrival(Trade(number, mts, *deal), mts * 1000 + 50_123 if wall is None else wall)


def lines(arrivals: Iterable[Arrival], symbol: str = SYMBOL) -> bytes:
    """Rows without a header."""
    return b"".join(map(Layout(symbol).line, arrivals))


def write(path: Path, arrivals: Iterable[Arrival], symbol: str = SYMBOL) -> Path:
    """A trade file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(HEADER + lines(arrivals, symbol))
    return path


def recording(*paths: Path) -> Recording:
    """The one recording at these paths."""
    [found] = recordings(paths)
    return found


def _tokens(signed: bool) -> st.SearchStrategy[bytes]:
    """Numbers as the exchange writes them: plain, or with an exponent where JavaScript uses one."""
    plain = st.decimals("0.00000001", "999999", places=8).map(lambda number: format(number, "f").rstrip("0").rstrip("."))
    small = st.tuples(st.integers(1, 9), st.integers(1, 99), st.integers(7, 12)).map(lambda n: f"{n[0]}.{n[1]}e-{n[2]}")
    signs = st.sampled_from(("", "-")) if signed else st.just("")
    return st.tuples(signs, plain | small).map(lambda parts: "".join(parts).encode())


def trades() -> st.SearchStrategy[Arrival]:
    """Any trade that the exchange could send, and when it came: up to an hour later."""
    moments = st.integers(FIRST_MTS, FIRST_MTS + 3_600_000)
    ids = st.integers(1, 200) | st.integers(1, 10**18 - 1)
    made = st.builds(Trade, ids, moments, _tokens(signed=True), _tokens(signed=False))
    return st.builds(lambda trade, delay: Arrival(trade, trade.mts * 1000 + delay), made, st.integers(0, 3_600_000_000))
