"""What is asked of the exchange: a symbol, a channel and its parameters."""

from collections.abc import Mapping
from dataclasses import dataclass

from bfxtwist.core.messages import ChannelName
from bfxtwist.core.symbols import parse_pair

#: What there is to choose from for a book, as it stands in requests (docs ws-public-books, ws-public-raw-books).
PRECISIONS = ("P0", "P1", "P2", "P3", "P4", "R0")
FREQUENCIES = ("F0", "F1")
LENGTHS = ("1", "25", "100", "250")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A symbol, a channel and its parameters; trades have none."""

    channel: ChannelName
    symbol: str
    precision: str = "P0"
    frequency: str = "F0"
    length: int = 25

    @property
    def parameters(self) -> Mapping[str, str]:
        """What a subscribe request carries, and its acknowledgement echoes, beside channel and symbol."""
        if self.channel is ChannelName.TRADES:
            return {}
        return {"prec": self.precision, "freq": self.frequency, "len": str(self.length)}

    def __str__(self) -> str:
        return f"{parse_pair(self.symbol).name} {self.channel}"
