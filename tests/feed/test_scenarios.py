"""Every scenario by its name: live again in time, within the budget of connects, and nothing logged that nobody expected."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.feed.network import World
from tests.feed.scenarios import SCENARIOS, Scenario


class Scenarios(SynchronousTestCase):
    """One test for each; see `scenarios.py`."""

    def play(self, scenario: Scenario) -> None:
        world = World().start()
        world.seconds_until(lambda: world.verified, 10)
        scenario.fault(world)
        went = self.watch(world, scenario.lasts)
        scenario.end(world)
        world.seconds_until(lambda: world.verified, scenario.recovers)
        self.assertEqual(scenario.ends, None if not world.ends else scenario.ends, world.ends)
        if scenario.ends is not None:
            self.assertIn(scenario.ends, world.ends)
        if scenario.quiet:
            self.assertEqual(went, set(), "a feed was not live")
        self.assertLessEqual(world.most_attempts_a_minute(), 10)
        self.assertEqual(world.refusals, [])
        world.stop()
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def watch(self, world: World, seconds: float) -> set[str]:
        """Let time pass; the states other than live that were seen."""
        seen: set[str] = set()
        for _ in range(round(seconds)):
            world.advance(1)
            seen |= {state for state in world.states.values() if state != "live"}
        return seen


def _test(scenario: Scenario) -> Callable[[Scenarios], None]:
    return lambda self: self.play(scenario)


for _scenario in SCENARIOS:
    _words = "".join(character if character.isalnum() else "_" for character in _scenario.name)
    setattr(Scenarios, f"test_{_words}", _test(_scenario))
