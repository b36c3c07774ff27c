"""Every call to the disk fails once, and from then on, in every way it can (A5): no row is lost, doubled or torn by it."""

import errno
import os
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.trade_rows import HEADER
from bfxtwist.core.trades import Mode
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.out.trade_saving import SyncPolicy
from tests.crash_disk import CrashDisk
from tests.out.recording import Recording

ERRORS = [errno.ENOSPC, errno.EIO, errno.EINTR]
SHORT = 0  # a write or a read of half the bytes, without an error


class FailingDisk(CrashDisk):
    """Fails at the n-th call, or from then on."""

    def __init__(self, at: int, number: int, for_ever: bool) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.failed: list[str] = []
        self.at, self.number, self.for_ever = at, number, for_ever
        self.failed_for_ever = False

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self._fails() and self.number != SHORT and name != "close":  # what fails to close is closed (man 2 close)
            self.failed.append(name)
            raise OSError(self.number, os.strerror(self.number))
        super()._call(name)

    def _fails(self) -> bool:
        return len(self.calls) == self.at or (self.for_ever and len(self.calls) > self.at)

    def write(self, fd: int, data: bytes, offset: int) -> int:
        if self.number == SHORT and len(self.calls) + 1 in range(self.at, 10**9 if self.for_ever else self.at + 1):
            self.failed.append("write")
            data = data[: len(data) // 2]
        return super().write(fd, data, offset)

    def read(self, fd: int, offset: int, length: int) -> bytes:
        if self.number == SHORT and len(self.calls) + 1 in range(self.at, 10**9 if self.for_ever else self.at + 1):
            length = (length + 1) // 2
        return super().read(fd, offset, length)

    def heal(self) -> None:
        """From here on all is well."""
        self.at = 10**9
        self.failed_for_ever, self.for_ever = self.for_ever, False


def life(disk: FailingDisk, policy: SyncPolicy) -> tuple[Recording, list[TradeFileError]]:
    """A recorder's life with everything in it: begin, record, lose the socket, rotate, stop, begin again on a torn file."""
    recording = Recording(disk=disk, sync=policy)
    recording.crash_disk = disk
    errors: list[TradeFileError] = []
    attempt(recording, recording.start, errors)
    for number in range(4):
        recording.exchange.trade()
        recording.wait(0.6)
        if recording.recorder.not_ready() != "tBTCUSD: the recorder is not running":
            act(recording, number)
    stop(recording, errors)
    if disk.content("/trade.csv").startswith(HEADER):
        disk.names["/trade.csv"].change(len(disk.content("/trade.csv")), b"bitfinex,BTCU")
    recording.recorder = recording.make()
    attempt(recording, recording.start, errors)
    return recording, errors


def act(recording: Recording, number: int) -> None:
    """One part of a life."""
    if number in (0, 2):
        recording.connect()
    recording.trade()
    recording.trade()
    if number == 1:
        recording.lost()
        recording.trade(told=False)
    elif number == 2:
        recording.wait(100, step=6)
    elif number == 3 and recording.recorder.not_ready() is None:  # nobody rotates a file that was never written
        recording.crash_disk.names["/older.csv"] = recording.crash_disk.names.pop("/trade.csv")
        recording.recorder.reopen()
    recording.wait(3)


def attempt(recording: Recording, action: Callable[[], Any], errors: list[TradeFileError]) -> None:
    """Start, which may fail for a reason that is told."""
    try:
        action()
    except TradeFileError as error:
        errors.append(error)


def stop(recording: Recording, errors: list[TradeFileError]) -> None:
    """Stop, which may fail too. Nothing stays open."""
    results: list[Any] = []
    recording.recorder.stop().addBoth(results.append)
    recording.wait(1)
    assert len(results) == 1
    if results[0] is not None:
        results[0].trap(TradeFileError)
        errors.append(results[0].value)
    recording.clock.calls.clear()


class FailingCallTests(SynchronousTestCase):
    """fail-the-n-th."""

    def calls(self, policy: SyncPolicy) -> list[str]:
        """All calls of a life in which nothing fails."""
        disk = FailingDisk(10**9, errno.EIO, False)
        recording, errors = life(disk, policy)
        self.assertEqual(errors, [])
        self.finish(recording, disk, "nothing failed")
        return disk.calls

    def finish(self, recording: Recording, disk: FailingDisk, what: str) -> None:
        """The disk is well again: the file is whole after a while, and without a restart if the recorder runs."""
        disk.heal()
        if recording.recorder.not_ready() == "tBTCUSD: the recorder is not running":
            recording.recorder.stop()
            recording.recorder = recording.make()
            recording.recorder.start()
        recording.connect()
        recording.trade()
        recording.wait(150, step=6)
        tape = recording.recorder.tape
        self.assertEqual((tape.mode, recording.recorder.not_ready()), (Mode.LIVE, None), what)
        ids = recording.ids()
        older = [int(row.split(b",")[4]) for row in disk.content("/older.csv").split(b"\n")[1:-1]]
        self.assertEqual((len(ids), len(older)), (len(set(ids)), len(set(older))), what)
        if not (older and disk.failed_for_ever):
            # Where a file is rotated away, nothing can be written down any more, and the process ends, its rows come again.
            self.assertFalse(set(ids) & set(older), what)
        first = min(ids + older)
        self.assertEqual(sorted({*ids, *older}), [i for i in recording.ledger() if i >= first], what)
        errors: list[TradeFileError] = []
        stop(recording, errors)
        self.assertEqual((errors, disk.descriptors), ([], 0), what)

    def try_all(self, policy: SyncPolicy, stride: int = 1) -> int:
        """Fail each call in each way. How many cases that were."""
        cases = 0
        calls = self.calls(policy)
        for at in range(1, len(calls) + 1, stride):
            for number in [*ERRORS, *([SHORT] if calls[at - 1] in ("read", "write") else [])]:
                for for_ever in (False, True):
                    disk = FailingDisk(at, number, for_ever)
                    what = f"call {at} ({calls[at - 1]}), errno {number}, for ever: {for_ever}"
                    recording, errors = life(disk, policy)
                    for error in errors:
                        self.assertIn(error.exit_code, (73, 74), f"{what}: {error}")
                    self.finish(recording, disk, what)
                    cases += 1
        return cases

    def test_every_call_with_a_sync_each_second(self) -> None:
        """The default policy."""
        self.assertGreaterEqual(self.try_all(SyncPolicy.SECOND), 300)

    def test_calls_with_a_sync_for_each_row(self) -> None:
        """Every ninth call is enough for what differs."""
        self.assertGreaterEqual(self.try_all(SyncPolicy.ALWAYS, stride=9), 200)
