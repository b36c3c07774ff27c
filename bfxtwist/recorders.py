"""The trade files of the daemon: one recorder for each pair that is recorded."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from bfxtwist.core.history import History
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.moment import Moment
from bfxtwist.core.symbols import parse_pair
from bfxtwist.core.trade_rows import Arrival
from bfxtwist.out.closed_parts import Compression
from bfxtwist.out.measured import TimedThread
from bfxtwist.out.metric_figures import recorder_figures
from bfxtwist.out.rotation import Rotation
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.out.trade_folder import left_behind
from bfxtwist.out.trade_recorder import RecorderStatus, TradeRecorder
from bfxtwist.out.trade_saving import SyncPolicy
from bfxtwist.settings import FeedSettings, Rotate

_log = Logger()


class Recorders:
    """All recorders. `failed` hears when the disk has failed too often, `not_safe` when a file could not be closed well."""

    def __init__(
        self,
        reactor: Any,
        market: Market,
        moment: Callable[[], Moment],
        *,
        sync: SyncPolicy,
        failed: Callable[[TradeFileError], None],
        not_safe: Callable[[int, str], None],
        rotate: Rotate | None = None,
        demo: bool = False,
    ) -> None:
        self.by_symbol: dict[str, TradeRecorder] = {}
        #: By symbol, who is told of the rows that are in the file now. To be set before it is opened.
        self.told: dict[str, Callable[[Sequence[Arrival]], None]] = {}
        self._reactor = reactor
        self._market = market
        self._moment = moment
        self._sync = sync
        self._failed = failed
        self._not_safe = not_safe
        self._rotate = rotate
        self._demo = demo
        self._flushes: dict[str, TimedThread] = {}  # by symbol
        self._closing: list[Deferred[None]] = []

    def open(self, feed: FeedSettings, history: History) -> TradeRecorder:
        """Lock and recover the file of a feed that the market carries. Raises TradeFileError, and nothing is kept."""
        assert feed.folder is not None  # settings.feed() saw to it
        symbol = feed.pair.symbol
        if other := left_behind(feed.folder, symbol):
            text = "{pair}: {other} is not continued, {folder} begins anew; to continue it, stop, and move its files there"
            _log.warn(text, pair=feed.pair.name, other=str(other), folder=str(feed.folder))
        flushes = TimedThread(deferToThread, self._reactor)
        recorder = TradeRecorder(
            symbol,
            feed.folder,
            history,
            self._reactor,
            self._moment,
            sync=self._sync,
            in_thread=flushes,
            gave_up=self._failed,
            written=self.told.get(symbol),
            rotation=self._rotation(feed.folder),
            demo=self._demo,
        )
        recorder.open()
        self.by_symbol[symbol], self._flushes[symbol] = recorder, flushes
        self._market.trades[symbol].listeners.append(recorder)
        return recorder

    def have_recorded(self, symbol: str) -> bool:
        """Whether trades of it are on file, from now or from before."""
        return symbol in self.by_symbol and self.by_symbol[symbol].tape.known.smallest is not None

    def _rotation(self, folder: Path) -> Rotation | None:
        if self._rotate is None:
            return None
        return Rotation(folder, self._rotate.size, Compression(self._rotate.compress))

    def start(self) -> None:
        """Record."""
        for recorder in self.by_symbol.values():
            recorder.start()

    def reopen(self) -> None:
        """Go on in whatever files have their names now: somebody has rotated them.

        One in its place is left alone: to read the rows of a year takes five seconds, in which every book stands still.
        """
        for recorder in self.by_symbol.values():
            if not recorder.in_place:
                recorder.reopen()

    def check_free(self, feeds: Iterable[FeedSettings]) -> None:
        """Raises ValueError where a folder that new feeds want has the trades of another pair."""
        taken = {recorder.folder: symbol for symbol, recorder in self.by_symbol.items()}
        for feed in feeds:
            other = taken.get(_absolute(feed.folder))
            if other is not None:
                name = parse_pair(other).name
                raise ValueError(f"{feed.folder} has the trades of {name}: name another folder for {feed.pair.name}")

    def moved(self, feeds: Iterable[FeedSettings]) -> Iterable[str]:
        """In words, the files that are not where these feeds want them."""
        for feed in feeds:
            recorder = self.by_symbol.get(feed.pair.symbol)
            if feed.channel is ChannelName.TRADES and recorder is not None and recorder.folder != _absolute(feed.folder):
                yield f"{recorder.path} is written until the next start, then {feed.folder}/trade.csv"

    def remove(self, symbol: str) -> None:
        """Begin to close one file."""
        still = [closing for closing in self._closing if not closing.called]
        self._closing = [*still, self.by_symbol.pop(symbol).stop().addErrback(self._tell)]

    def removed(self) -> Deferred[Any]:
        """Fires when all that were to be closed are, well or not: until then their files are locked."""
        return DeferredList(self._closing)

    def stop(self) -> Deferred[Any]:
        """Close them all."""
        stopping = [recorder.stop().addErrback(self._tell) for recorder in self.by_symbol.values()]
        return DeferredList([*stopping, *self._closing])

    def _tell(self, failure: Any) -> None:
        error = failure.value
        if not isinstance(error, TradeFileError):
            _log.failure("a bug while closing a trade file", failure)
        self._not_safe(getattr(error, "exit_code", os.EX_SOFTWARE), str(error))

    # --- what others want to know -----------------------------------------------------------------------------

    def file(self, symbol: str) -> Path | None:
        """Where the trades of a symbol are written."""
        recorder = self.by_symbol.get(symbol)
        return None if recorder is None else recorder.path

    def status(self) -> dict[str, RecorderStatus]:
        """What `GET /status` says of them, by symbol."""
        return {symbol: recorder.status() for symbol, recorder in self.by_symbol.items()}

    def not_ready(self) -> str | None:
        """Why trades are not being recorded as they should, or None."""
        return "; ".join(why for recorder in self.by_symbol.values() if (why := recorder.not_ready())) or None

    def figures(self) -> Iterable[Metric]:
        """What `GET /metrics` says of them."""
        flushes = {symbol: self._flushes[symbol].seconds for symbol in self.by_symbol}
        return recorder_figures(self.status(), flushes, self._moment())


def _absolute(folder: Path | None) -> Path:
    assert folder is not None  # as above
    return Path(os.path.abspath(folder))
