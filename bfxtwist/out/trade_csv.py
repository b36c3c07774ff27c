"""The deferred-based consumer of trades: rows leave for trade.csv at most one turn of the reactor after they came.

    written = csv.write(arrivals)      # fires when these rows, and all that came before them, are in the file
    csv.put(arrivals)                  # the same for live trades, for each of which a Deferred would be dear

A disk that is full, or fails, is tried again with the same bytes at the same place until it works. When too many rows wait,
the newest are given up: `forgotten` hears of them, to fetch them again from the exchange, and the Deferreds that wait for
them fail. Syncing what is in the file is `trade_saving.py`'s.
"""

import errno
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.limits import LIMITS
from bfxtwist.core.trade_rows import Arrival, Layout
from bfxtwist.out.trade_file import TradeFile

_log = Logger()

#: Bytes in one write, and rows: few have less than 64 bytes.
BATCH_LIMIT = 256 * 1024
BATCH_ROWS = BATCH_LIMIT // 64

#: What a disk says that is broken, or that the kernel takes to be. A full one is not: for room we wait.
_BROKEN = (errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ESTALE)

#: Seconds between two attempts of a failing disk, the first and the longest.
RETRY_FIRST, RETRY_LONGEST = 0.25, 5.0


class RowsForgotten(Exception):
    """These rows were not written: the disk was full for too long. They will be fetched again."""


class _Waiter(NamedTuple):
    rows: int  # that must be in the file, counted from the start
    written: Deferred[None]


class TradeCsv:
    """The queue in front of one trade.csv."""

    def __init__(
        self,
        file: TradeFile,
        layout: Layout,
        clock: IReactorTime,
        *,
        forgotten: Callable[[list[Arrival]], None],
        drained: Callable[[], None],
        written: Callable[[Sequence[Arrival]], None] | None = None,
        limit: int = LIMITS.queue,
    ) -> None:
        """`forgotten` hears of rows that are given up, `drained` that every row is in the file, `written` of each that is.

        `written` must not raise.
        """
        self.error: str | None = None  # why the disk does not take rows, while it does not
        self.failures = 0  # writes in a row that a broken disk has refused
        self.rows_written = self.bytes_written = 0  # since the start
        self._file = file
        self._layout = layout
        self._clock = clock
        self._forgotten = forgotten
        self._drained = drained
        self._written = written
        self._limit = limit
        self._queue: list[Arrival] = []
        self._lines: list[bytes] = []  # of the same, in the same order
        self._untold: list[list[Arrival]] = []  # written, and the first of them just being told
        self._waiters: deque[_Waiter] = deque()
        self._call: IDelayedCall | None = None
        self._delay = RETRY_FIRST

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def waiting(self) -> Sequence[Arrival]:
        """Rows that are not in the file yet."""
        return self._queue

    def write(self, arrivals: Sequence[Arrival]) -> Deferred[None]:
        """Take rows, in this order: fires when they, and all before them, are in the file, or fails with RowsForgotten.

        With no rows it fires when those before are, never at once. May be cancelled; the rows are written all the same.
        """
        waiter = _Waiter(self.rows_written + len(self._queue) + len(arrivals), Deferred())
        self._waiters.append(waiter)
        self.put(arrivals)
        return waiter.written

    def put(self, arrivals: Sequence[Arrival]) -> None:
        """Take rows, in this order, for a caller who does not wait for them."""
        self._queue += arrivals
        self._lines += self._layout.lines(arrivals)
        if self.error is not None and len(self._queue) > self._limit:
            self._forget()
        elif self._call is None:
            self._call = self._clock.callLater(0, self._flush)

    # --- writing ------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write all that waits, now, or as much as the disk takes."""
        self._cancel()
        while self._queue and self._write_batch():
            pass
        self._after_writing()

    def _flush(self) -> None:
        self._call = None
        self._write_batch()
        self._after_writing()

    def _after_writing(self) -> None:
        if not self._queue:
            self._drained()
        elif self._call is None:
            self._call = self._clock.callLater(0 if self.error is None else self._delay, self._flush)
        while self._waiters and self._waiters[0].rows <= self.rows_written:
            self._waiters.popleft().written.callback(None)

    def _write_batch(self) -> bool:
        if not self._queue:
            self._is_well()
            return True
        lines, count = self._batch()
        try:
            self._file.append(lines, self._queue[count - 1].trade.id)
        except OSError as error:
            self._failed(error)
            return False
        self.bytes_written += len(lines)
        written = self._queue[:count] if self._written is not None else []
        del self._queue[:count], self._lines[:count]
        self.rows_written += count
        self._is_well()
        self._tell(written)
        return True

    def _tell(self, written: list[Arrival]) -> None:
        """In the order of the rows, though who is told of some may stop the recorder, which writes the others at once."""
        if self._written is None:
            return
        self._untold.append(written)
        if len(self._untold) > 1:
            return
        while self._untold:
            self._written(self._untold[0])
            del self._untold[0]

    def _is_well(self) -> None:
        if self.error is not None:
            _log.info("{path} is written again", path=self._file.path)
        self.error, self._delay = None, RETRY_FIRST
        self.failures = 0

    def _batch(self) -> tuple[bytes, int]:
        """The first lines, as many as one write takes, and how many they are."""
        lines = self._lines[:BATCH_ROWS]
        together = b"".join(lines)
        if len(together) <= BATCH_LIMIT:
            return together, len(lines)
        count = bisect_right(list(accumulate(map(len, lines))), BATCH_LIMIT)
        return b"".join(lines[:count]), count

    def _failed(self, error: OSError) -> None:
        text = error.strerror or str(error)
        if text != self.error:
            _log.error("{path} cannot be written: {error}; trying again", path=self._file.path, error=text)
            self._delay = RETRY_FIRST
        else:
            self._delay = min(self._delay * 2, RETRY_LONGEST)
        self.error = text
        self.failures += error.errno in _BROKEN

    def _forget(self) -> None:
        """Give up the newest of what waits: it takes too much memory, and the exchange still has it.

        The oldest rows go on trying: they show when the disk works again.
        """
        keep = self._limit // 2
        arrivals = self._queue[keep:]
        del self._queue[keep:], self._lines[keep:]
        self._file.forget()
        _log.warn("{path}: {count} rows are given up, to be fetched again", path=self._file.path, count=len(arrivals))
        given_up = []
        while self._waiters and self._waiters[-1].rows > self.rows_written + keep:
            given_up.append(self._waiters.pop())
        self._forgotten(arrivals)
        for waiter in reversed(given_up):
            waiter.written.errback(RowsForgotten(f"{len(arrivals)} rows for {self._file.path}"))

    def reopened(self, known: KnownIds) -> None:
        """Another file is open, which has these rows: write what waits, but for what somebody else has written to it."""
        queue, written = self._queue, self.rows_written
        left = [index for index, arrival in enumerate(queue) if arrival.trade.id not in known]
        if len(left) < len(queue):
            waiters = ((bisect_left(left, waiter.rows - written), waiter.written) for waiter in self._waiters)
            self._waiters = deque(_Waiter(written + rows, done) for rows, done in waiters)
            self._queue, self._lines = [queue[index] for index in left], [self._lines[index] for index in left]
        if queue:
            self._cancel()
            self._flush()

    def stop(self) -> int:
        """Write what waits, once. How many rows could not be written; nothing is tried again."""
        self.flush()
        self._cancel()
        return len(self._queue)

    def _cancel(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
