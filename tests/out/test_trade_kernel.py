"""Disk faults made by the kernel (A7): on a real file system, in processes of their own where that is needed."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.trade_rows import HEADER, Layout
from bfxtwist.out.disk import OsDisk
from bfxtwist.out.trade_errors import CannotCreate, Locked, TradeFileError, WrongFile
from tests.out.recording import Recording

SCRIPT = Path(__file__).with_name("trade_on_real_disk.py")
IN_SHELL = shlex.join([sys.executable, str(SCRIPT)])
LAYOUT = Layout("tBTCUSD")


def process(*command: str) -> subprocess.CompletedProcess[str]:
    """The script, perhaps behind another command."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    return subprocess.run(command, env=environment, capture_output=True, check=False, text=True, timeout=120)


def in_own_mounts(shell: str) -> subprocess.CompletedProcess[str]:
    """A shell that may mount, where nobody else sees it. Skips the test where that is not allowed."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise SkipTest("no unshare here: a file system of a few blocks cannot be made")
    for options in (["-m"], ["-Urm"]):
        if process(unshare, *options, "sh", "-c", "mount -t tmpfs none /mnt").returncode == 0:
            return process(unshare, *options, "sh", "-c", shell)
    raise SkipTest("mounting is not allowed here, as root or in a user namespace")


class KernelTests(SynchronousTestCase):
    """Real files."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "trade.csv"

    def recording(self) -> Recording:
        """A recorder on a real disk, with three rows."""
        recording = Recording(folder=str(self.folder), disk=OsDisk()).start()
        self.addCleanup(lambda: recording.recorder.stop().addErrback(lambda _: None))
        recording.missed(3)
        recording.wait(2)
        recording.connect()
        return recording

    def ids(self, path: Path | None = None) -> list[int]:
        """Of a file whose every line is a row."""
        content = (path or self.path).read_bytes()
        self.assertTrue(content.startswith(HEADER))
        ids = LAYOUT.ids(content[len(HEADER) :])
        assert ids is not None and content.endswith(b"\n")
        return [int(i) for i in ids]

    def check_healed(self, run: subprocess.CompletedProcess[str], problem: str) -> None:
        """It said what was wrong, and the file is whole."""
        self.assertEqual(run.returncode, 0, run.stderr)
        result = json.loads(run.stdout)
        self.assertIn(problem, result.pop("problem"))
        self.assertEqual(result, {"missing": [], "doubled": 0, "torn": 0})

    # --- no room ------------------------------------------------------------------------------------------

    def test_file_size_limit(self) -> None:
        """RLIMIT_FSIZE writes short without an error, then EFBIG."""
        self.check_healed(process(sys.executable, str(SCRIPT), str(self.folder), "rlimit"), "File too large")

    def test_full_file_system(self) -> None:
        """A tmpfs of 64 KiB."""
        folder = shlex.quote(str(self.folder))
        run = in_own_mounts(f"mount -t tmpfs -o size=64k none {folder} && {IN_SHELL} {folder} fill")
        self.check_healed(run, "No space left")

    def test_full_file_system_at_start(self) -> None:
        """Exit code 73, and what to do."""
        folder = shlex.quote(str(self.folder))
        run = in_own_mounts(
            f"mount -t tmpfs -o size=4k none {folder} && head -c 4096 /dev/zero > {folder}/ballast;"
            f"{IN_SHELL} {folder} start"
        )
        self.assertEqual(run.returncode, 73, run.stderr)
        self.assertIn("make room", run.stderr)

    def test_read_only_file_system(self) -> None:
        """A bind mount; exit code 73 with the reason."""
        folder = shlex.quote(str(self.folder))
        run = in_own_mounts(
            f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} &&"
            f"{IN_SHELL} {folder} start"
        )
        self.assertEqual(run.returncode, 73, run.stderr)
        self.assertIn("Read-only file system", run.stderr)

    def test_no_permission(self) -> None:
        """chmod, for whom it holds."""
        if os.geteuid() == 0:
            raise SkipTest("root may write anywhere: test_read_only_file_system shows the same")
        self.folder.chmod(0o500)
        self.addCleanup(self.folder.chmod, 0o700)
        self.assertRaises(CannotCreate, Recording(folder=str(self.folder), disk=OsDisk()).start)

    def test_failing_and_slow_syncs(self) -> None:
        """fdatasync fails three times (strace injects it): rows are written again, and all is on disk in the end."""
        strace = shutil.which("strace")
        if strace is None:
            raise SkipTest("no strace here: the kernel cannot be made to fail a sync")
        trace = [strace, "-f", "-qq", "-e", "trace=none", "-e", "inject=fdatasync:error=EIO:when=3..5"]
        if process(*trace, "true").returncode:
            raise SkipTest("tracing is not allowed here")
        run = process(*trace, "-o", "/dev/null", sys.executable, str(SCRIPT), str(self.folder), "rlimit")
        self.check_healed(run, "")

    # --- somebody else ------------------------------------------------------------------------------------

    def test_rotation(self) -> None:
        """Renamed: the old file is finished, a new one begun, nothing is in both."""
        recording = self.recording()
        older = self.folder / "trade.csv.1"
        self.path.rename(older)
        recording.trade()
        recording.wait(2)
        recording.trade()
        recording.wait(2)
        self.assertEqual(self.ids(older) + self.ids(), recording.ledger())

    def test_rotation_that_makes_the_new_file(self) -> None:
        """logrotate's `create`: an empty file is a new one."""
        recording = self.recording()
        older = self.folder / "trade.csv.1"
        self.path.rename(older)
        self.path.touch()
        recording.recorder.reopen()
        recording.trade()
        self.assertEqual(self.ids(older) + self.ids(), recording.ledger())

    def test_copytruncate(self) -> None:
        """Cut to nothing: the header again, then what comes."""
        recording = self.recording()
        os.truncate(self.path, 0)
        recording.trade()
        recording.wait(10)
        self.assertEqual(self.ids(), recording.ledger()[3:])

    def test_removal(self) -> None:
        """A new file."""
        recording = self.recording()
        self.path.unlink()
        recording.wait(2)
        recording.trade()
        self.assertEqual(self.ids(), recording.ledger()[3:])

    def test_second_daemon(self) -> None:
        """Exit code 75 in one line, with the file and the first one's pid; also when the first has rotated its file."""
        recording = self.recording()
        for _ in range(2):
            run = process(sys.executable, str(SCRIPT), str(self.folder), "start")
            self.assertEqual(run.returncode, 75)
            line = f"{self.path}.lock is locked by pid {os.getpid()}: stop that process, or name another folder\n"
            self.assertEqual(run.stderr, line)
            self.path.rename(self.folder / "trade.csv.1")
            recording.wait(2)

    def test_lock_file_that_was_removed(self) -> None:
        """By who took it for stale: trade.csv itself is locked, too, and whoever comes next is kept off by that."""
        first = self.recording()
        (self.folder / "trade.csv.lock").unlink()
        second = Recording(folder=str(self.folder), disk=OsDisk())
        self.assertIn(f"{self.path} is locked by another process", str(self.assertRaises(Locked, second.start)))
        first.recorder.stop()
        second.start().recorder.stop()

    def test_link_to_a_file_that_another_daemon_has(self) -> None:
        """The lock is beside the link, and nobody else has it."""
        self.recording()
        other = self.folder / "other"
        other.mkdir()
        (other / "trade.csv").symlink_to(self.path)
        self.assertRaises(Locked, Recording(folder=str(other), disk=OsDisk()).start)

    def test_folder_that_was_removed(self) -> None:
        """What comes until there is one again waits for it: nobody would ever read the file that is still open."""
        recording = self.recording()
        shutil.rmtree(self.folder)
        for _ in range(3):
            recording.trade()
            recording.wait(2)
        problem = str(recording.recorder.not_ready())
        self.assertIn(f"{self.path}: No such file or directory: make the folder writable", problem)
        self.folder.mkdir()
        recording.wait(6)
        self.assertIsNone(recording.recorder.not_ready())
        self.assertEqual(self.ids(), recording.ledger()[3:])

    # --- not our file -------------------------------------------------------------------------------------

    def strangers(self) -> Iterator[tuple[str, type[TradeFileError]]]:
        """Put each kind of thing in the file's place."""
        self.path.write_bytes(b"date,price\n1,2\n")
        yield "not the header", WrongFile
        self.path.write_bytes(HEADER + b"bitfinex,ETHUSD,1542045947738000,1,2,buy,3,4\n")
        yield "ETHUSD of bitfinex", WrongFile
        self.path.unlink()
        self.path.mkdir()
        yield "is a directory", WrongFile
        self.path.rmdir()
        os.mkfifo(self.path)
        yield "is a FIFO", WrongFile
        self.path.unlink()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.path))
            yield "is a socket", WrongFile
        self.path.unlink()
        self.path.symlink_to("/dev/full")
        yield "is a device", WrongFile
        self.path.unlink()
        self.path.symlink_to(self.path)
        yield "loop of symbolic links", WrongFile
        self.path.unlink()
        self.path.symlink_to("gone.csv")
        yield "leads nowhere", WrongFile
        self.path.unlink()

    def test_what_is_not_ours_is_refused_and_not_touched(self) -> None:
        """Each says what it is and what to do, with exit code 78."""
        for what, kind in self.strangers():
            with self.subTest(what):
                before = os.lstat(self.path), self.path.read_bytes() if self.path.is_file() else b""
                error = self.assertRaises(kind, Recording(folder=str(self.folder), disk=OsDisk()).start)
                self.assertIn(what, str(error))
                self.assertEqual(error.exit_code, 78)
                after = os.lstat(self.path), self.path.read_bytes() if self.path.is_file() else b""
                self.assertEqual(before[1], after[1])
                self.assertEqual(before[0].st_mtime_ns, after[0].st_mtime_ns)

    def test_damage_below_the_synced_mark_is_refused(self) -> None:
        """A flipped byte in an old row."""
        recording = self.recording()
        recording.recorder.stop()
        content = bytearray(self.path.read_bytes())
        content[len(HEADER) + 5] ^= 0x20
        self.path.write_bytes(content)
        error = self.assertRaises(WrongFile, Recording(folder=str(self.folder), disk=OsDisk()).start)
        self.assertIn(f"damaged at byte {len(HEADER)}", str(error))
        self.assertEqual(self.path.read_bytes(), content)

    def test_link_to_a_file_is_followed(self) -> None:
        """People put their data elsewhere."""
        elsewhere = self.folder / "elsewhere.csv"
        elsewhere.touch()
        self.path.symlink_to(elsewhere)
        recording = self.recording()
        self.assertEqual(self.ids(elsewhere), recording.ledger())

    # --- what it makes ------------------------------------------------------------------------------------

    def test_modes_whatever_the_umask(self) -> None:
        """A daemon's umask differs from a terminal's."""
        for mask in (0o000, 0o077, 0o022):
            folder = self.folder / oct(mask) / "below"
            before = os.umask(mask)
            self.addCleanup(os.umask, before)
            recording = Recording(folder=str(folder), disk=OsDisk()).start()
            recording.wait(2)
            recording.recorder.stop()
            os.umask(before)
            modes = {name.name: name.stat().st_mode & 0o777 for name in folder.iterdir()}
            self.assertEqual(modes, {"trade.csv": 0o640, "trade.csv.state": 0o600, "trade.csv.lock": 0o600})
            self.assertEqual(folder.stat().st_mode & 0o777, 0o750)
            self.assertEqual(folder.parent.stat().st_mode & 0o777, 0o750)

    def test_descriptors_are_not_inherited(self) -> None:
        """A child of the daemon must not keep the lock."""
        disk = OsDisk()
        fd = disk.create(str(self.folder / "x"), 0o600)
        again = disk.open(str(self.folder / "x"))
        self.assertFalse(os.get_inheritable(fd) or os.get_inheritable(again))
        disk.close(fd)
        disk.close(again)
