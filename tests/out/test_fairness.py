"""A portion in each turn of the reactor, the rest in order."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.out.fairness import Turns
from tests.out.served import TurningClock


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = TurningClock()
        self.turns = Turns(self.clock, portion=3)
        self.done: list[str] = []

    def ask(self, name: str) -> None:
        if self.turns.admit(lambda: self.done.append(name)):
            self.done.append(name)

    def test_a_portion_is_admitted_at_once_and_the_rest_waits(self) -> None:
        for name in "abcde":
            self.ask(name)
        self.assertEqual((self.done, self.turns.waiting), (["a", "b", "c"], 2))

    def test_those_who_wait_come_first_in_the_next_turn(self) -> None:
        for name in "abcdefgh":
            self.ask(name)
        self.clock.turn()
        self.ask("i")
        self.assertEqual(self.done, list("abcdef"))
        self.clock.turn()
        self.assertEqual(self.done, list("abcdefghi"))

    def test_what_is_asked_within_a_turn_counts_in_it(self) -> None:
        """One that is served and asks again at once, as a client does that pipelines, does not extend the turn."""

        def again() -> None:
            self.done.append("again")
            self.turns.admit(again)

        for _ in range(4):
            self.turns.admit(again)
        for turn in range(1, 4):
            self.clock.turn()
            self.assertLessEqual(len(self.done), 3 * turn)

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        for name in "abc":
            self.ask(name)
        self.turns.admit(lambda: 1 // 0)
        self.ask("d")
        self.assertRaises(ZeroDivisionError, self.clock.turn)  # the reactor logs it
        self.clock.turn()
        self.assertEqual(self.done, list("abcd"))

    def test_nothing_is_scheduled_while_nobody_asks(self) -> None:
        self.ask("a")
        self.clock.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @given(st.integers(1, 5), st.lists(st.integers(0, 12), max_size=12))
    def test_everybody_is_served_once_in_order_and_no_turn_is_longer_than_its_portion(
        self, portion: int, arrivals: list[int]
    ) -> None:
        clock, done, asked = TurningClock(), list[int](), 0
        turns = Turns(clock, portion)
        for arriving in [*arrivals, *[0] * sum(arrivals)]:
            before = len(done)
            clock.turn()
            for name in range(asked, asked + arriving):
                if turns.admit(partial(done.append, name)):
                    done.append(name)
            asked += arriving
            self.assertLessEqual(len(done) - before, portion)
        self.assertEqual(done, list(range(asked)))
