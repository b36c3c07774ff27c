"""Faults at random, several at once, again and again: when they end, everything is live, and the budget was kept."""

import os
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.faults import BY_NAME, BY_PLACE
from tests.feed.network import World

#: More of them with BFXTWIST_SWIZZLES=5000; the first seed that fails is in the failure's text.
SEEDS = range(int(os.environ.get("BFXTWIST_SWIZZLES", "12")))

#: Faults of the exchange, but for those of REST, and two that do as they say: refuse for good, or have a lower limit.
NAMES = [fault.name for place in ("handshake", "conversation", "frames", "market") for fault in BY_PLACE[place]]
NOT_AT_RANDOM = {"refuse", "channel-limit"}

MOODS = ("up", "up", "up", "refused", "unreachable", "unknown", "silent")


class Swizzle(SynchronousTestCase):
    """One minute of it for each seed."""

    def test_seeds(self) -> None:
        for seed in SEEDS:
            try:
                self.swizzle(seed)
            except AssertionError as failure:
                raise AssertionError(f"seed {seed}: {failure}") from failure

    def swizzle(self, seed: int) -> None:
        random = Random(seed)
        world = World(seed=seed).start()
        for _ in range(20):
            self.disturb(world, random)
            world.advance(random.uniform(0.1, 6))
        world.exchange.faults.clear()
        world.network.mood, world.network.frozen = "up", False
        # Up to 60 s of back-off, an acknowledgement that is asked for twice, and a checksum; or maintenance without an end.
        world.seconds_until(lambda: world.verified, 200)
        self.assertLessEqual(world.most_attempts_a_minute(), 10)
        world.stop()
        self.assertEqual(self.flushLoggedErrors(), [])

    def disturb(self, world: World, random: Random) -> None:
        if random.random() < 0.3:
            world.exchange.faults.clear()
        if random.random() < 0.2:
            world.network.mood = random.choice(MOODS)
        if random.random() < 0.1:
            world.network.frozen = not world.network.frozen
        if random.random() < 0.2:
            world.network.cut()
        name = random.choice([name for name in NAMES if name not in NOT_AT_RANDOM])
        fault = BY_NAME[name]
        world.exchange.faults.set(name, random.choice(fault.choices) if fault.choices else None)
