"""What a power loss leaves of trade.csv, in thousands of ways, is recovered without losing or inventing a row (A6)."""

import os
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import Mark
from bfxtwist.core.messages import Trade
from bfxtwist.core.progress import Progress
from bfxtwist.core.recovery import Saved
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.out.trade_file import TradeFile
from bfxtwist.out.trade_state import StateFile
from tests.crash_disk import CrashDisk

LAYOUT = Layout("tBTCUSD")
MTS = 1_700_000_000_000
IMAGES = int(os.environ.get("BFXTWIST_IMAGES", "5000"))


class Writer:
    """A file under a random life."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.disk = CrashDisk()
        self.state = StateFile(self.disk, "/trade.csv.state")
        self.file = TradeFile(self.disk, "/trade.csv", LAYOUT)
        self.waiting: list[bytes] = []  # rows of a failed append, to be tried again or forgotten
        self.given: set[bytes] = set()
        self.sealed = b""
        self.next_id = 1
        self.recover()

    def recover(self) -> None:
        """Open what is there."""
        self.disk.mend()
        self.waiting = []
        self.file = TradeFile(self.disk, "/trade.csv", LAYOUT)
        self.file.open(self.state.load(), MTS * 1000)
        self.next_id = max(self.next_id, (self.file.last_id or 0) + 1)
        self.sealed = self.disk.content("/trade.csv")[: self.file.synced]

    def append(self) -> None:
        """Some rows of different lengths, or those that failed before."""
        if not self.waiting:
            for _ in range(self.random.randint(1, 4)):
                price = b"%03d" % (self.next_id % 1000) * self.random.randint(1, 12)  # a mixture of two rows shows
                row = LAYOUT.line(Arrival(Trade(self.next_id, MTS + self.next_id, b"-0.5", price), MTS * 1000))
                self.waiting.append(row)
                self.next_id += 1
        self.given.update(self.waiting)  # a failed append may have left some of them whole, too
        try:
            self.file.append(b"".join(self.waiting), self.next_id - 1)
        except OSError:
            return
        self.waiting = []

    def forget(self) -> None:
        """Give up what failed: other rows will come to its place."""
        if self.waiting:
            self.waiting = []
            self.file.forget()

    def sync(self) -> None:
        """Sync, and perhaps save the state."""
        mark, failures = self.file.base, self.file.sync_failures
        try:
            self.file.sync_job()()
        except OSError:
            self.file.sync_failed()
            return
        self.file.synced_to(mark, failures)
        if self.file.synced == mark:
            self.sealed = self.disk.content("/trade.csv")[:mark]
        if self.random.random() < 0.6 and self.file.file is not None:
            progress = Progress(1, Mark(1, MTS + 1), 1)
            saved = Saved(LAYOUT.exchange, LAYOUT.symbol, self.file.file, mark, self.file.last_id, progress, [])
            try:
                self.state.save(saved)
            except OSError:
                return

    def fail(self) -> None:
        """Let something go wrong, or go well again."""
        self.disk.mend()
        kind = self.random.choice(["room", "sync", "write", "rename", "none"])
        if kind == "room":
            self.disk.room = self.random.randint(0, 200)
        elif kind == "sync":
            self.disk.failing_syncs = self.random.randint(1, 2)
        elif kind == "write":
            self.disk.failing_writes = self.random.randint(1, 2)
        elif kind == "rename":
            self.disk.failing_renames = 1

    def fill_up(self) -> None:
        """A full disk, given up, and room again: other rows come to where a torn one was."""
        self.disk.room = self.random.randint(0, 150)
        self.append()
        self.forget()
        self.disk.mend()
        self.append()

    def live(self, steps: int) -> None:
        """Do this and that."""
        acts = [self.append, self.append, self.append, self.sync, self.fail, self.forget, self.fill_up]
        for _ in range(steps):
            self.random.choice(acts)()


class CrashImageTests(SynchronousTestCase):
    """Power loss."""

    def test_every_image_is_recovered(self) -> None:
        """What was synced is there to the byte, and every other row is one that was given, once."""
        for seed in range(IMAGES):
            random = Random(seed)
            writer = Writer(random)
            writer.live(random.randint(1, 14))
            if random.random() < 0.2:  # a kill before the loss: the next process must not believe the page cache
                writer.disk.kill()
                writer.recover()
                writer.live(random.randint(0, 5))
            sealed = writer.sealed
            writer.disk.power_loss(random)
            try:
                writer.recover()
            except TradeFileError as error:
                self.fail(f"seed {seed}: {error}")
            content = writer.disk.content("/trade.csv")
            self.assertTrue(content.startswith(sealed), f"seed {seed}: synced bytes are lost")
            rows = content[len(HEADER) :].splitlines(keepends=True)
            self.assertEqual(len(rows), len(set(rows)), f"seed {seed}: doubled")
            self.assertLessEqual(set(rows), writer.given, f"seed {seed}: a row that nobody gave")
