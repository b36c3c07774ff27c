"""How many connections may be made."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.uplink_status import BudgetStatus
from bfxtwist.feed.budget import ConnectBudget, SharedLedger


def begun(needed: int) -> ConnectBudget:
    """A budget of somebody who needs so many at once."""
    budget = ConnectBudget()
    budget.begin(needed)
    return budget


def attempts_in(budget: ConnectBudget, seconds: float, begin: float = 0.0) -> list[float]:
    """When connections are made by somebody who wants one all the time."""
    made, now = [], begin
    while now < begin + seconds:
        wait = budget.ask(now)
        if wait == 0:
            made.append(now)
        now += wait or 0.05
    return made


def most_a_minute(times: list[float]) -> int:
    """The largest number in any minute, but for a millionth of a second by which sums may be off."""
    return max((sum(start <= time < start + 60 - 1e-6 for time in times) for start in times), default=0)


class Own(SynchronousTestCase):
    """For one process."""

    def test_ten_a_minute(self) -> None:
        made = attempts_in(ConnectBudget(), 600)
        self.assertEqual(most_a_minute(made), 10)
        self.assertGreaterEqual(len(made), 100, "and no fewer than that")

    def test_a_first_burst_of_what_is_needed(self) -> None:
        for burst, most in ((3, 10), (10, 10), (15, 15), (40, 19)):
            made = attempts_in(begun(burst), 600)
            self.assertEqual(most_a_minute(made[:most]), most)
            self.assertEqual(most_a_minute(made), most)
            after = [time for time in made if time >= 60]
            self.assertEqual(most_a_minute(after), min(most_a_minute(after), 19 if burst > 19 else 10))

    def test_none_for_a_minute_after_429(self) -> None:
        budget = begun(5)
        self.assertEqual(budget.ask(0), 0)
        budget.block(1, 60)
        self.assertEqual(budget.ask(1), 60)
        self.assertEqual(budget.ask(60.5), 0.5)
        self.assertEqual(budget.ask(61), 0)
        budget.block(100, 300)
        budget.block(101, 60)
        self.assertEqual(budget.ask(110), 290, "the longer one counts")

    def test_to_look_how_long_it_is_costs_nothing(self) -> None:
        budget = ConnectBudget()
        for second in range(10):
            self.assertEqual((budget.wait(second), budget.ask(second)), (0, 0))
        self.assertEqual((budget.wait(20), budget.ask(20)), (45, 45))
        budget.block(20, 60)
        self.assertEqual((budget.wait(20), budget.ask(20)), (60, 60))

    def test_the_status(self) -> None:
        budget = ConnectBudget()
        budget.ask(0)
        budget.ask(50)
        budget.block(55, 60)
        self.assertEqual(budget.status(65), BudgetStatus(used=1, of=10, blocked_s=50.0))

    def test_none_arrives_with_nineteen_others_within_a_minute(self) -> None:
        """Names, TCP and TLS take longer for the first ones than a minute later."""
        for burst in (1, 19, 24, 40):
            made = attempts_in(begun(burst), 600)
            arrived = [time + (4.0 if time < 60 else 0.1) for time in made]
            self.assertLess(most_a_minute(arrived), 20, burst)

    @given(st.lists(st.floats(0, 20), max_size=200), st.integers(0, 30))
    def test_never_twenty_in_any_minute(self, pauses: list[float], burst: int) -> None:
        budget, made, now = begun(burst), [], 0.0
        for pause in pauses:
            now += pause
            if budget.ask(now) == 0:
                made.append(now)
        self.assertLess(most_a_minute(made), 20)


class Shared(SynchronousTestCase):
    """For all processes of a machine."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "locks" / "connects.json"

    def test_two_share_what_one_may(self) -> None:
        one, two = ConnectBudget(SharedLedger(self.path)), ConnectBudget(SharedLedger(self.path))
        made = [second for second in range(600) for budget in (one, two) if budget.ask(second) == 0]
        self.assertEqual(most_a_minute([float(time) for time in made]), 10)

    def test_a_429_of_one_keeps_the_other_still(self) -> None:
        one, two = ConnectBudget(SharedLedger(self.path)), ConnectBudget(SharedLedger(self.path))
        one.block(0, 60)
        self.assertEqual(two.ask(10), 50)

    def test_a_process_that_is_started_again_and_again(self) -> None:
        made = []
        for second in range(0, 600, 2):
            budget = ConnectBudget(SharedLedger(self.path))
            budget.begin(3)
            made += [float(second) for _ in range(3) if budget.ask(second) == 0]
        self.assertEqual(most_a_minute(made), 10)

    def test_another_process(self) -> None:
        ConnectBudget(SharedLedger(self.path)).ask(100.0)
        text = (
            "import sys; from pathlib import Path; from bfxtwist.feed.budget import *\n"
            "budget = ConnectBudget(SharedLedger(Path(sys.argv[1])))\n"
            "print([budget.ask(101.0) for _ in range(10)])"
        )
        root = Path(__file__).parents[2]
        command = [sys.executable, "-c", text, str(self.path.absolute())]
        output = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
        self.assertEqual(output.strip(), str([0.0] * 9 + [64.0]))

    def test_while_another_has_it(self) -> None:
        ledger = SharedLedger(self.path)
        budget = ConnectBudget(ledger)
        descriptor = os.open(self.path, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self.assertEqual(budget.ask(0), 0.1, "not now, but soon")
        self.assertEqual((budget.wait(0), budget.status(0).used), (0.0, None), "nothing is known just now")
        os.close(descriptor)
        self.assertEqual(budget.ask(0.1), 0)

    def test_a_429_while_another_has_it(self) -> None:
        """At least who was told keeps still."""
        budget = ConnectBudget(SharedLedger(self.path))
        descriptor = os.open(self.path, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        budget.block(0, 60)
        os.close(descriptor)
        self.assertEqual(budget.ask(10), 50)

    def test_what_is_no_ledger_is_not_believed(self) -> None:
        ledger = SharedLedger(self.path)
        for content in (b"", b"\0" * 100, b"[]", b'{"times":"x"}', b'{"times":[1],"blocked_until":null}', b"\xff" * 70_000):
            self.path.write_bytes(content)
            self.assertEqual(ConnectBudget(ledger).ask(5.0), 0, content[:20])
            self.assertEqual(self.path.read_bytes(), b'{"times":[5.0],"blocked_until":0.0}')

    def test_what_was_before_the_last_boot_is_not_believed(self) -> None:
        ledger = SharedLedger(self.path)
        self.path.write_bytes(b'{"times":[' + b",".join([b"900000.5"] * 30) + b'],"blocked_until":900050.0}')
        self.assertEqual(ConnectBudget(ledger).ask(10.0), 0)

    def test_a_file_that_cannot_be_used_any_more(self) -> None:
        budget = ConnectBudget(SharedLedger(self.path))
        budget.ask(0)
        self.path.unlink()
        self.path.mkdir()
        self.assertEqual([budget.ask(1) for _ in range(11)], [0.0] * 10 + [65.0], "goes on alone, within the limit")
        budget.block(2, 60)
        self.assertEqual(budget.ask(2), 60.0)

    def test_a_file_that_never_could(self) -> None:
        self.path.parent.parent.mkdir(parents=True)
        self.path.parent.write_text("in the way")
        with self.assertRaises(OSError):
            SharedLedger(self.path)
