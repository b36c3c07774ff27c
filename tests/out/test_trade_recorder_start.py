"""How a recorder starts: whose file it is, and what it makes of a state, a ledger or rows that are missing."""

import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import GapState
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.out.trade_errors import Locked, WrongFile
from tests.out.recording import LAYOUT, Recording, live, with_history_down, with_open_gap


def no_state_beside_a_ledger_with(recording: Recording, words: bytes) -> None:
    """From now on the disk is full when a state is to be saved, if the ledger has these words already."""

    def before(call: str) -> None:
        if call == "rename" and words in recording.crash_disk.content("/trade.gaps.csv"):
            raise OSError(errno.ENOSPC, "No space left on device")

    recording.crash_disk.before = before


class Start(SynchronousTestCase):
    """`TradeRecorder.open`, on a disk in memory."""

    def test_second_recorder_is_kept_off(self) -> None:
        """It is told by whom, and the first one is not disturbed."""
        recording = live()
        error = self.assertRaises(Locked, recording.make().open)
        self.assertEqual(error.exit_code, 75)
        self.assertIn(f"/trade.csv.lock is locked by pid {os.getpid()}", str(error))
        self.assertIsNone(recording.recorder.not_ready())
        recording.trade()
        self.assertEqual(recording.ids(), recording.ledger())

    def test_refused_file_is_not_changed_and_the_lock_is_let_go(self) -> None:
        """Of another pair."""
        recording = Recording()
        other = HEADER + Layout("tETHUSD").line(Arrival(recording.exchange.trade().told, 1))
        recording.crash_disk.put("/trade.csv", other)
        error = self.assertRaises(WrongFile, recording.start)
        self.assertEqual((error.exit_code, recording.content()), (78, other))
        self.assertEqual(recording.crash_disk.descriptors, 0)

    def test_ledger_that_is_none_is_refused(self) -> None:
        """It is somebody's file."""
        recording = Recording()
        recording.crash_disk.put("/trade.gaps.csv", b"mine\n")
        self.assertRaises(WrongFile, recording.start)
        self.assertEqual(recording.crash_disk.content("/trade.gaps.csv"), b"mine\n")

    def test_lost_state_costs_only_questions(self) -> None:
        """Everything is compared once more."""
        recording = live()
        recording.trade()
        recording.wait(70)
        recording.crash_disk.names["/trade.csv.state"].change(30, b"?")
        recording.restart()
        self.assertEqual(recording.recorder.tape.comparison.progress.frontier.id, recording.ledger()[0])  # type: ignore[union-attr]
        recording.connect()
        recording.wait(5)
        self.assertEqual(recording.ids(), recording.ledger())

    def test_a_backup_that_was_put_back_costs_only_questions(self) -> None:
        """What came after it was made is fetched again, though the state knows of all that had been in the file."""
        recording = live()
        recording.trade(pause=70)
        backup = recording.content()
        for _ in range(30):
            recording.trade(pause=4)
        recording.clock.calls.clear()
        recording.crash_disk.put("/trade.csv", backup)
        recording.restart()
        recording.connect(3)
        recording.wait(100)
        self.assertEqual(recording.ids(), recording.ledger())

    def test_kill_after_a_backup_was_copied_over_the_file(self) -> None:
        """The state that said how much of it was on disk would have a row that was cut taken for damage."""
        recording = live()
        backup = recording.content()
        for _ in range(9):
            recording.trade(pause=1)
        recording.clock.calls.clear()
        file = recording.crash_disk.names["/trade.csv"]
        file.cache[:] = file.platter[:] = backup
        recording.restart()
        file.cache += b"bitfinex,BTC"
        recording.restart()
        recording.connect(3)
        recording.wait(100)
        self.assertEqual(recording.ids(), recording.ledger())

    def test_rename_and_kill_after_the_file_was_edited(self) -> None:
        """It lacks a row and is as long as it was: a state that knows of that row would be believed of the next file."""
        recording = live()
        for _ in range(9):
            recording.trade(pause=1)
        recording.wait(200)
        recording.clock.calls.clear()
        longer = recording.content().replace(b".5,", b".5%050d," % 0, 5)
        edited = b"".join(longer.splitlines(keepends=True)[:-1])
        file, names = recording.crash_disk.names["/trade.csv"], recording.crash_disk.names
        file.cache[:] = file.platter[:] = edited
        recording.restart()
        names["/trade.csv.1"] = names.pop("/trade.csv")
        recording.restart()
        recording.connect()
        recording.wait(100)
        older = LAYOUT.ids(recording.crash_disk.content("/trade.csv.1")[len(HEADER) :]) or []
        self.assertEqual([*map(int, older), *recording.ids()], recording.ledger())

    def test_disk_that_is_full_at_the_start(self) -> None:
        """Whether there was a trade yet or not, nothing is to be written before one comes: books can be served."""
        for traded in (False, True):
            recording = live() if traded else Recording().start()
            recording.wait(100)
            recording.clock.calls.clear()
            recording.crash_disk.kill()
            recording.crash_disk.room = len(b"4194304\n")  # the pid
            recording.recorder = recording.make()
            recording.recorder.start()
            self.assertIsNotNone(recording.recorder.not_ready())
            recording.crash_disk.mend()
            recording.trade(told=False, pause=1)
            recording.connect()
            recording.wait(100)
            self.assertEqual(recording.ids(), recording.ledger())

    def test_a_gap_that_the_ledger_alone_names_is_filled(self) -> None:
        """The state is lost, or an older one was put back."""
        for older in (True, False):
            recording = live()
            recording.wait(3)
            names = recording.crash_disk.names
            state = recording.crash_disk.content("/trade.csv.state")
            with_open_gap(recording)
            self.assertIn(b",open,0,", recording.crash_disk.content("/trade.gaps.csv"))
            recording.clock.calls.clear()
            del names["/trade.csv.state"]
            if older:
                recording.crash_disk.put("/trade.csv.state", state)
            recording.restart()
            recording.exchange.fault = ""
            recording.connect()
            recording.wait(100)
            self.assertEqual(sorted(recording.ids()), recording.ledger())
            self.assertEqual(recording.recorder.status().gaps[GapState.FILLED], 1)
            self.assertNotIn(b",open,", recording.crash_disk.content("/trade.gaps.csv"))

    def test_kill_after_the_ledger_has_named_a_gap_and_before_the_state_has(self) -> None:
        """What comes after it was not written yet, but told."""
        recording = with_history_down(live())
        no_state_beside_a_ledger_with(recording, b",open,")
        recording.wait(62)
        self.assertEqual(recording.saved().progress.gaps, [])
        recording.crash_disk.mend()
        recording.restart()
        recording.exchange.fault = ""
        recording.connect()
        recording.wait(100)
        self.assertEqual(recording.ids(), recording.ledger())
        self.assertNotIn(b",open,", recording.crash_disk.content("/trade.gaps.csv"))

    def test_kill_after_the_ledger_has_counted_what_filled_a_gap_and_before_the_state_has(self) -> None:
        """Its trades are on file, and are not counted again."""
        recording = with_open_gap(live())
        no_state_beside_a_ledger_with(recording, b'",filled,')
        recording.exchange.fault = ""
        recording.wait(100)
        [ledger] = recording.crash_disk.content("/trade.gaps.csv").splitlines()[1:]
        self.assertIn(b",filled,8,", ledger)
        self.assertEqual([gap.filled for gap in recording.saved().progress.gaps], [0])
        recording.crash_disk.mend()
        recording.restart()
        recording.connect()
        recording.wait(100)
        [ledger] = recording.crash_disk.content("/trade.gaps.csv").splitlines()[1:]
        self.assertIn(b",filled,8,", ledger)
        self.assertEqual((sorted(recording.ids()), recording.saved().progress.gaps), (recording.ledger(), []))

    def test_a_ledger_that_is_lost_names_again_what_is_open(self) -> None:
        """At once, and not when it is filled."""
        recording = with_open_gap(live())
        ledger = recording.crash_disk.content("/trade.gaps.csv")
        del recording.crash_disk.names["/trade.gaps.csv"]
        recording.restart()
        recording.wait(2)
        self.assertEqual(recording.crash_disk.content("/trade.gaps.csv"), ledger)
