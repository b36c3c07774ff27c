"""A recorder that rotates its file runs for years: of the parts it knows the newest ids, and what it still asks for."""

from random import Random

from bfxtwist.core.limits import LIMITS
from bfxtwist.out import trade_saving
from tests.out.rotating import Rotating, RotationTest


class Memory(RotationTest):
    """After a rotation, and after a start."""

    def setUp(self) -> None:
        self.patch(trade_saving, "EARLIER_AT_LEAST", 3)

    def test_it_does_not_grow_with_what_was_ever_recorded(self) -> None:
        recording = self.rotating().live()
        recording.trades(600)
        self.assertLess(len(recording.recorder.tape.known), 300)
        self.assertGreater(len(recording.parts), 100)
        self.assert_whole(recording)

    def test_what_is_still_asked_for_is_known(self) -> None:
        """History does not answer, and then tells everything since its last answer: none of it twice, and what was missed.

        It is more than the state may hold.
        """
        self.patch(trade_saving, "EARLIER_AT_MOST", 5)
        recording = self.rotating().live()
        recording.trades(100)
        recording.exchange.fault = "down"
        recording.trade(told=False)
        recording.trades(200)
        self.assertGreater(len(recording.recorder.tape.known), 200)
        recording.exchange.fault = ""
        recording.trades(200)
        self.assertLess(len(recording.recorder.tape.known), 200)
        self.assertEqual(recording.recorder.tape.counters.audited, 1)
        self.assert_whole(recording)

    def test_what_was_forgotten_is_not_taken_for_new(self) -> None:
        """A pair that was quiet for long, and a snapshot that reaches back beyond all that is known."""
        recording = self.rotating().live()
        recording.trades(30)
        for _ in range(3):
            recording.trade(pause=300)
        recording.trades(6)
        self.assertLess(len(recording.recorder.tape.known), 15)
        recording.lost("the connection was lost")
        recording.connect(30)
        recording.trades(6)
        self.assert_whole(recording)

    def test_what_a_kill_made_it_forget_is_not_taken_for_new(self) -> None:
        """The same after a start, when the live file has rows, and the state knows of no older ones."""
        for quiet in range(3, 7):
            recording = self.rotating().live()
            recording.trades(30)
            for _ in range(quiet):
                recording.trade(pause=300)
            recording.restart()
            self.assertLess(len(recording.recorder.tape.known), 10)
            recording.connect(30)
            recording.trades(6)
            self.assert_whole(recording, str(quiet))

    def test_a_row_of_an_old_gap_does_not_stand_for_those_around_it(self) -> None:
        """It is in the live file at a start, they are not: whatever is told again is not taken for new."""
        for more in range(8):
            recording = self.rotating(800).live()
            recording.trades(20)
            recording.trade(told=False, publish_after=20 + more)
            recording.trades(20 + more)
            for _ in range(4):
                recording.trade(pause=50)
            recording.restart()
            recording.connect()
            for made in list(recording.exchange.ledger.values()):
                recording.tell(made.told, confirmed=True)
            recording.wait(100)
            self.assert_whole(recording, str(more))

    def test_what_a_kill_made_it_forget_is_asked_for_all_the_same(self) -> None:
        """History was away for longer than the state can hold ids: what is missing comes, and nothing else once more."""
        self.patch(trade_saving, "EARLIER_AT_MOST", 5)
        for more in range(18, 26):  # one of them ends when the live file has no row
            recording = self.rotating().live()
            recording.trades(30)
            recording.exchange.fault = "down"
            recording.trade(told=False)
            recording.trades(more)
            recording.restart()
            recording.exchange.fault = ""
            recording.connect()
            recording.wait(100)
            self.assert_whole(recording, str(more))

    def test_a_file_that_is_only_opened_anew_is_known_as_before(self) -> None:
        recording = self.rotating(10**6).live()
        recording.trades(200)
        recording.recorder.reopen()
        self.assertEqual(len(recording.recorder.tape.known), 203)

    def test_whatever_happens(self) -> None:
        """Connections and histories that come and go, trades that are late or never told, a disk that is full, and kills.

        With states that hold as many ids as they want to, and with such that can not.
        """
        for seed in range(16):
            self.patch(trade_saving, "EARLIER_AT_MOST", 10 if seed % 2 else 1_000)
            recording = self.rotating(limits=LIMITS._replace(page=20, held_back=12, recent=10, queue=6)).live()
            self.live_through(recording, Random(seed))
            recording.crash_disk.mend()
            recording.exchange.fault = ""
            recording.wait(1)
            recording.connect(5)
            recording.wait(700)
            self.assertIsNone(recording.recorder.not_ready(), seed)
            self.assert_all_once(recording, seed)

    def live_through(self, recording: Rotating, random: Random) -> None:
        """Two hundred things that happen."""
        for _ in range(200):
            match random.randrange(14):
                case 0:
                    recording.lost("the connection was lost")
                case 1:
                    recording.connect(random.randrange(8))
                case 2:
                    recording.exchange.fault = random.choice(["", "", "down", "empty", "short"])
                case 3:
                    recording.crash_disk.failing_writes = random.choice([0, 0, 3, 40])
                case 4:
                    recording.wait(random.choice([2, 20, 70]))
                case 5 if random.random() < 0.3:
                    recording.crash_disk.mend()
                    recording.restart()
                case 6 | 7:
                    recording.trade(told=False, pause=random.choice([0, 1]), publish_after=random.choice([0.5, 20]))
                case _:
                    recording.trade(pause=random.choice([0, 0.1, 1]), publish_after=random.choice([0.5, 20]))

    def assert_all_once(self, recording: Rotating, seed: int) -> None:
        ids = recording.all_ids()
        self.assertEqual(len(ids), len(set(ids)), seed)
        self.assertEqual(sorted(ids), recording.ledger(), seed)
