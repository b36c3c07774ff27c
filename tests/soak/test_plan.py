"""A plan is its seed's, is within bounds, and asks for nothing that there is not."""

from collections import Counter
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.faults import Faults
from tests.soak.plan import CALM_AT_THE_END, KINDS, plan

DAY = 86_400.0


class Plans(SynchronousTestCase):
    def test_the_same_seed_is_the_same_plan(self) -> None:
        self.assertEqual(plan(7, 3600), plan(7, 3600))
        self.assertNotEqual(plan(7, 3600), plan(8, 3600))

    def test_a_day_has_every_kind_and_kills_enough(self) -> None:
        first = [event for event in plan(1, DAY) if event.first]
        kinds = Counter(event.of for event in first)
        self.assertEqual(set(kinds), {kind.name for kind in KINDS})
        self.assertGreater(sum(event.what == "kill" for event in plan(1, DAY)), 300)
        apart = [later.at - sooner.at for sooner, later in pairwise(first)]
        self.assertGreaterEqual(min(apart), 10)
        self.assertLess(max(apart), 150)
        self.assertLess(sum(apart) / len(apart), 60)

    def test_the_end_is_calm_and_all_that_stands_is_cleared(self) -> None:
        for seed in range(50):
            events = plan(seed, 600)
            self.assertLess(max(event.at for event in events), 600 - CALM_AT_THE_END + 5)
            faults = Faults()
            for event in events:
                word, _, fault = event.what.partition(" ")
                if word == "set":
                    faults.set_from(fault)
                elif word == "clear":
                    faults.clear(fault)
            left = set(faults) - {"maintenance-start", "maintenance-end", "drop", "restart", "junk"}
            once = {kind.name.partition("=")[0] for kind in KINDS if kind.faults and kind.lasts == (0.0, 0.0)}
            self.assertEqual(left - once, set(), "of what there is no end, it would go on for ever")
