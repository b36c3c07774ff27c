"""The state knows of no row that is not in the file: else it would be taken for known after a kill, whoever tells it."""

import contextlib
from collections.abc import Callable, Iterator
from itertools import count

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.history import Page, PageRequest
from tests.crash_disk import CrashDisk, Killed
from tests.out.recording import Recording, live


class RowsThatWait(SynchronousTestCase):
    """Each kill is made good, whatever was being done when it came."""

    def assert_survives_any_kill(self, prepare: Callable[[], Recording], act: Callable[[Recording], object]) -> None:
        """Kill the process at each call to the disk while it acts; then it is started again."""
        for call in count(1):
            recording = prepare()
            disk, calls = recording.crash_disk, count(1)

            def before(_: str, disk: CrashDisk = disk, calls: Iterator[int] = calls, last: int = call) -> None:
                if next(calls) == last:
                    disk.dead = True
                    raise Killed

            disk.before = before
            with contextlib.suppress(Killed):
                act(recording)
            self.flushLoggedErrors(Killed)
            killed = disk.dead
            disk.mend()
            recording.exchange.fault = ""
            recording.restart()
            recording.connect()
            recording.wait(300)
            self.assertEqual(sorted(recording.ids()), recording.ledger(), call)
            if not killed:
                return

    def test_at_sighup(self) -> None:
        """It comes in the turn in which trades came."""

        def prepare() -> Recording:
            recording = live()
            made = [recording.exchange.trade() for _ in range(3)]
            recording.recorder.executed([one.told for one in made], [False] * 3, recording.exchange.moment())
            return recording

        self.assert_survives_any_kill(prepare, lambda recording: recording.recorder.reopen())

    def test_at_sighup_when_history_has_told_of_an_outage(self) -> None:
        """Nothing is known to be compared up to a frontier whose rows still wait."""

        def prepare() -> Recording:
            recording = live()
            recording.wait(100)
            recording.lost()
            for pause in (1, 1, 1, 1, 300, 1, 1, 1, 100):
                recording.trade(told=False, pause=pause)
            answered: Deferred[None] = Deferred()
            answer = recording.exchange.page

            async def page(symbol: str, request: PageRequest) -> Page:
                await answered
                return await answer(symbol, request)

            recording.exchange.page = page  # type: ignore[method-assign]
            recording.connect(1)
            answered.callback(None)
            self.assertEqual(len(recording.recorder._csv), 9)
            return recording

        self.assert_survives_any_kill(prepare, lambda recording: recording.recorder.reopen())

    def test_at_a_stop(self) -> None:
        """The hole before the trades that are held back is saved before these are written."""

        def prepare() -> Recording:
            recording = live()
            recording.lost()
            recording.trade(told=False, publish_after=0.0)
            recording.exchange.fault = "down"
            recording.connect(1)
            recording.trade()
            return recording

        self.assert_survives_any_kill(prepare, lambda recording: recording.recorder.stop().addErrback(_trap))


def _trap(failure: Failure) -> None:
    failure.trap(Killed)
