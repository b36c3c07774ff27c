"""One line in the log when a feed becomes live, and one when it is not live any more."""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from twisted.logger import Logger

from bfxtwist.core.feed_state import Feed, FeedState
from bfxtwist.core.moment import Moment

_log = Logger()


class StateLog:
    """Watches feeds. What lies between two lives (connecting, syncing) is in `GET /status`."""

    def __init__(self, moment: Callable[[], Moment]) -> None:
        self._moment = moment
        self._live: set[Feed] = set()
        # When feeds ceased to be live; of one that is dropped nobody asks, and its whole book would stay here.
        self._lost: WeakKeyDictionary[Feed, Moment] = WeakKeyDictionary()
        self._watching = True

    def watch(self, feed: Feed) -> None:
        """Log what becomes of a feed."""
        feed.watchers.append(self._changed)

    def start(self) -> None:
        """The daemon starts, perhaps again: nothing is live yet."""
        self._live.clear()
        self._watching = True

    def stop(self) -> None:
        """The daemon stops, and takes every feed down: that is no news."""
        self._watching = False

    def _changed(self, feed: Feed) -> None:
        live = feed.state is FeedState.LIVE
        if live is (feed in self._live) or not self._watching:
            return
        if live:
            self._live.add(feed)
            self._tell_live(str(feed.subscription), self._lost.pop(feed, None))
        else:
            self._live.remove(feed)
            self._lost[feed] = self._moment()
            _log.warn("not live: {feed}: {reason}", feed=str(feed.subscription), reason=feed.reason, news=True)

    def _tell_live(self, feed: str, lost: Moment | None) -> None:
        if lost is None:
            _log.info("live: {feed}", feed=feed, news=True)
        else:
            gone = self._moment().monotonic - lost.monotonic
            _log.info("live again after {gone:.1f} s: {feed}", feed=feed, gone=gone, news=True)
