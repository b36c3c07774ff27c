"""One connection that is kept up: how it waits, for how long, and what it says of itself."""

from itertools import pairwise
from random import Random

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.feed.backoff import Backoff
from bfxtwist.feed.budget import ConnectBudget
from tests.feed.network import World


class Pauses(SynchronousTestCase):
    """Between two attempts."""

    def pauses(self, world: World, seconds: float) -> list[float]:
        world.advance(seconds)
        attempts = world.network.attempts
        return [later - earlier for earlier, later in pairwise(attempts)]

    def test_they_grow_while_nothing_answers(self) -> None:
        world = World()
        world.network.mood = "refused"
        world.start()
        pauses = self.pauses(world, 3600)
        self.assertLess(max(pauses[:3]), 4.2)
        self.assertLess(max(pauses), 61)
        self.assertGreater(max(pauses), 40)
        self.assertLess(len(pauses), 150, "an average of 30 s")

    def test_they_grow_while_a_server_accepts_and_kicks(self) -> None:
        world = World()
        world.exchange.faults.set_from("drop-after=5")
        world.start()
        pauses = self.pauses(world, 900)
        self.assertGreater(max(pauses), 30)
        self.assertLess(len(pauses), 60)

    def test_they_begin_anew_after_a_healthy_minute(self) -> None:
        world = World()
        world.network.mood = "refused"
        world.start()
        world.advance(200)
        world.network.mood = "up"
        world.seconds_until(lambda: world.live, 65)
        world.advance(61)
        world.network.cut()
        world.advance(1.2)
        world.seconds_until(lambda: world.live, 2)

    def test_a_restart_is_given_1_to_5_seconds(self) -> None:
        for seed in range(20):
            world = World(seed=seed).start()
            world.advance(60)
            world.exchange.faults.set("restart")
            (pause,) = [pause - 65 for pause in self.pauses(world, 10)]
            self.assertTrue(0.9 <= pause <= 5.3, pause)

    def test_429_is_given_a_minute(self) -> None:
        world = World()
        world.exchange.faults.set_from("handshake=429")
        world.start()
        pauses = self.pauses(world, 600)
        self.assertGreaterEqual(min(pauses), 60)
        world.exchange.faults.clear()
        world.seconds_until(lambda: world.live, 130)

    def test_the_log_says_how_long_it_is_until_the_next_attempt(self) -> None:
        for mood, fault in (("up", "handshake=429"), ("refused", None), ("up", "drop-after=1")):  # blocked; paused; used up
            world = World()
            world.network.mood = mood
            if fault:
                world.exchange.faults.set_from(fault)
            with capturedLogs() as events:
                world.start()
                pauses = self.pauses(world, 200)
            said = [event["wait"] for event in events if "again in" in str(event.get("log_format"))]
            with self.subTest(fault=fault):
                self.assertGreater(len(pauses), 2)
                for text, pause in zip(said, pauses, strict=False):
                    self.assertLess(abs(text - pause), 0.5)

    def test_a_budget_that_is_used_up_is_waited_for(self) -> None:
        budget = ConnectBudget()
        for _ in range(10):
            budget.ask(999.0)
        world = World(budget=budget).start()
        self.assertEqual((world.network.attempts, world.service.status().connections[0].state), ([], "waiting"))
        world.seconds_until(lambda: world.live, 62)
        self.assertGreater(world.network.attempts[0], 1059)


class Cancelled(SynchronousTestCase):
    """What is cancelled by others."""

    def test_it_is_no_reason_to_stop_trying(self) -> None:
        world = World()
        connect = world.network.connect
        world.network.connect = lambda protocolFactory: fail(CancelledError())  # type: ignore[method-assign]
        world.start()
        world.network.connect = connect  # type: ignore[method-assign]
        world.seconds_until(lambda: world.live, 65)
        self.assertGreater(len(self.flushLoggedErrors(CancelledError)), 0)


class Faults(SynchronousTestCase):
    """What no network does."""

    def test_a_bug_while_connecting_is_logged_and_the_next_try_comes(self) -> None:
        world = World()
        world.exchange.start()
        connect = world.network.connect
        world.network.connect = lambda protocolFactory: fail(ZeroDivisionError("a bug"))  # type: ignore[method-assign]
        world.service.startService()
        world.advance(3)
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 0)
        world.network.connect = connect  # type: ignore[method-assign]
        world.seconds_until(lambda: world.live, 65)
        self.assertIn("bug", world.ends)

    def test_an_endpoint_that_raises(self) -> None:
        world = World()
        world.network.connect = lambda protocolFactory: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        world.service.startService()
        world.advance(30)
        self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        world.stop()

    def test_a_listener_s_bug_costs_the_connection_and_no_more(self) -> None:
        world = World().start()
        fuse = [ZeroDivisionError("a bug")]

        def broken(_feed: object) -> None:
            if fuse:
                raise fuse.pop()

        world.market.books["tBTCUSD"].watchers.append(broken)
        world.network.cut()
        world.advance(1)
        world.seconds_until(lambda: world.live, 10)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class Assumptions(SynchronousTestCase):
    """What is relied on."""

    def test_a_cancelled_coroutine_may_await_once_more(self) -> None:
        """So that a socket in its handshake is closed before `stop` fires."""
        first: Deferred[None] = Deferred()
        last: Deferred[str] = Deferred()

        async def closing() -> str:
            try:
                await first
            except CancelledError:
                return await last
            return "not cancelled"

        result = Deferred.fromCoroutine(closing())
        results: list[str] = []
        result.addCallback(results.append)
        result.cancel()
        self.assertEqual(results, [])
        last.callback("closed")
        self.assertEqual(results, ["closed"])

    def test_the_first_pause_is_less_than_a_second(self) -> None:
        self.assertLess(max(Backoff(Random(seed)).next_delay() for seed in range(100)), 1)
