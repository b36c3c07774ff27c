"""What the process sees to by itself: its clock, open files, and what the garbage collector need not look at."""

import gc
import os
import resource
import shutil
import subprocess
import sys
from functools import partial
from typing import Any
from unittest import SkipTest
from weakref import ref

from twisted.internet.base import ReactorBase
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.app import Options, Process, allow_files, freeze, prepare
from tests.running import ROOT


class ClockTest(SynchronousTestCase):
    def test_what_was_asked_for_before_comes_when_it_was_asked_for(self) -> None:
        reactor: ReactorBase = SelectReactor()
        called: list[str] = []
        reactor.callLater(0, called.append, "now")
        later = reactor.callLater(600, called.append, "later")
        prepare(reactor)
        reactor.runUntilCurrent()
        self.assertEqual(called, ["now"])
        self.assertLess(abs(later.getTime() - reactor.seconds() - 600), 60)
        later.reset(0)
        reactor.runUntilCurrent()
        self.assertEqual(called, ["now", "later"])

    def test_it_goes_on_while_the_machine_is_suspended(self) -> None:
        """As after 1,000 s of sleep: in a time namespace the clock that counts them is ahead of the one that does not."""
        unshare = shutil.which("unshare")
        asleep = [str(unshare), *(["-T"] if os.getuid() == 0 else ["-rT"]), "--boottime", "1000"]
        if unshare is None or subprocess.run([*asleep, "true"], capture_output=True, check=False).returncode:
            raise SkipTest("no unshare here, or no time namespace is allowed")
        code = "import time; from bfxtwist.app import now; print(now().monotonic - time.monotonic())"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        said = subprocess.run([*asleep, sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
        self.assertTrue(999 < float(said) < 1001, said)


class FilesTest(SynchronousTestCase):
    def limits(self, soft: int, hard: int) -> None:
        self.set: list[Any] = []
        self.patch(resource, "getrlimit", lambda which: (soft, hard))
        self.patch(resource, "setrlimit", lambda which, limits: self.set.append(limits))

    def test_a_low_limit_is_raised(self) -> None:
        self.limits(1024, 1_048_576)
        self.assertEqual((allow_files(4096), self.set), (4096, [(4096, 1_048_576)]))

    def test_as_far_as_it_may_be(self) -> None:
        self.limits(256, 512)
        self.assertEqual((allow_files(4096), self.set), (512, [(512, 512)]))

    def test_one_that_suffices_is_left(self) -> None:
        for soft in (4096, 100_000, resource.RLIM_INFINITY):
            self.limits(soft, resource.RLIM_INFINITY)
            self.assertEqual((allow_files(4096), self.set), (soft, []))


class FreezeTest(SynchronousTestCase):
    def test_what_is_there_is_frozen(self) -> None:
        self.addCleanup(gc.unfreeze)
        freeze()
        self.assertGreater(gc.get_freeze_count(), 10_000)


class _Gone:
    """Something in a cycle."""

    again: object


class GarbageTest(SynchronousTestCase):
    """What is left of connections that are gone."""

    def test_nothing_is_kept_for_long(self) -> None:
        """However little is made meanwhile."""
        for restore in (gc.unfreeze, gc.enable, partial(gc.set_threshold, *gc.get_threshold())):
            self.addCleanup(restore)
        reactor, options = MemoryReactorClock(), Options()
        options.parseOptions(["--pair", "BTC/USD", "--channel", "book"])
        process = Process(reactor, options)
        process.daemon.disownServiceParent()
        process.startService()
        gc.disable()
        gone = _Gone()
        gone.again = gone
        left = ref(gone)
        del gone
        reactor.advance(59)
        self.assertIsNotNone(left())
        reactor.advance(1)
        self.assertIsNone(left())
        process.stopService()
        self.assertFalse(process._collecting and process._collecting.running)
