"""The feed as a whole, against the embedded exchange in memory: what is carried where, at run time and when it stops."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.uplink_status import ConnectionState
from bfxtwist.exchange.venue import Limits
from tests.feed.network import BOOK, TRADES, World

ETH_BOOK = Subscription(ChannelName.BOOK, "tETHUSD")


def many(pairs: int) -> list[Subscription]:
    """Book and trades of so many pairs."""
    symbols = [f"t{chr(65 + number // 26)}{chr(65 + number % 26)}AUSD" for number in range(pairs)]
    return [Subscription(channel, symbol) for symbol in symbols for channel in (ChannelName.BOOK, ChannelName.TRADES)]


class Life(SynchronousTestCase):
    """From start to stop."""

    def test_live_and_verified_on_one_connection(self) -> None:
        world = World().start()
        self.assertTrue(world.live, world.states)
        world.seconds_until(lambda: world.verified, 10)
        self.assertEqual(world.network.attempts, [1000.0])
        world.stop()
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_twenty_minutes(self) -> None:
        world = World().start()
        world.advance(1200)
        self.assertTrue(world.verified)
        self.assertEqual((world.ends, len(world.network.attempts)), ({}, 1))
        self.assertEqual(world.uplink.tally.stray_frames, 0)

    def test_stop_in_every_state(self) -> None:
        cases = ("up", None), ("up", "handshake=hang"), ("up", "silence"), ("refused", None), ("silent", None)
        for seconds in (0.0, 0.1, 0.2, 1, 11):
            for mood, fault in cases:
                world = World()
                world.network.mood = mood
                if fault:
                    world.exchange.faults.set_from(fault)
                world.exchange.start()
                world.service.startService()
                world.advance(seconds)
                world.stop()
                self.assertEqual(world.network.pumps, [], f"{mood} {fault} {seconds}")
                self.assertEqual(world.clock.getDelayedCalls(), [], f"{mood} {fault} {seconds}")

    def test_stop_when_nobody_listens(self) -> None:
        world = World().start()
        world.network.frozen = True
        stopped = world.service.stopService()
        world.advance(1)
        self.assertFalse(stopped.called, "a close was sent, and its answer is waited for")
        world.advance(2)
        self.assertTrue(stopped.called)

    def test_stop_after_a_connection_was_lost(self) -> None:
        """While it waits for the next attempt, and while that is made: nobody is there to say goodbye to."""
        for mood in ("refused", "silent"):
            world = World().start()
            world.network.mood = mood
            world.network.cut()
            world.advance(100)
            [connection] = world.service.status().connections
            self.assertEqual((connection.state is ConnectionState.OPEN, connection.session), (False, None))
            world.stop()
            self.assertEqual(world.clock.getDelayedCalls(), [], mood)

    def test_stop_says_goodbye(self) -> None:
        world = World().start()
        goodbyes: list[object] = []
        for socket in world.exchange.sockets.sockets:
            socket.onCloseFrame = lambda code, reason: goodbyes.append(code)
        world.service.stopService()
        world.network.deliver()
        self.assertEqual(goodbyes, [1000])

    def test_started_again(self) -> None:
        world = World().start()
        world.service.stopService()
        world.advance(3)
        self.assertFalse(world.live)
        world.service.startService()
        world.advance(5)
        self.assertTrue(world.live)

    def test_nothing_to_do(self) -> None:
        world = World([]).start()
        self.assertEqual(world.network.attempts, [])
        world.stop()


class Spreading(SynchronousTestCase):
    """Which connection carries what."""

    def test_30_pairs_of_2_channels(self) -> None:
        world = World(many(30)).start()
        self.assertTrue(world.live, world.states)
        self.assertEqual([len(c.subscriptions) for c in world.service.connections], [25, 25, 10])
        self.assertEqual(len(world.network.attempts), 3, "what is needed is connected at once")

    def test_a_lower_limit_moves_what_does_not_fit(self) -> None:
        world = World(many(10), limits=Limits(channels=8)).start()
        world.seconds_until(lambda: world.live, 60)
        self.assertEqual([len(c.subscriptions) for c in world.service.connections], [8, 8, 4])
        self.assertEqual(world.ends, {})

    def test_the_moved_are_moved_for_good(self) -> None:
        world = World(many(5), limits=Limits(channels=8)).start()
        world.seconds_until(lambda: world.live, 60)
        world.network.cut()
        world.seconds_until(lambda: not world.live, 10)
        world.seconds_until(lambda: world.live, 20)
        self.assertEqual(world.uplink.tally.refusals, 2, "of the first time")

    def test_a_limit_is_believed_for_as_long_as_the_session_lasts(self) -> None:
        """It may have been for a moment only. What moved stays where it is; what is wanted later fills the first again."""
        one, *others = many(6)
        world = World([*others, one]).start()

        def want_one_again() -> list[int]:
            world.service.drop(one)
            world.advance(2)
            world.service.want(one)
            world.seconds_until(lambda: world.live, 60)
            return [len(connection.subscriptions) for connection in world.service.connections]

        world.exchange.faults.set("channel-limit", 11)
        self.assertEqual(want_one_again(), [11, 1])
        world.exchange.faults.clear()
        self.assertEqual(want_one_again(), [11, 1])
        world.network.cut()
        world.seconds_until(lambda: not world.live, 10)
        world.seconds_until(lambda: world.live, 20)
        self.assertEqual([len(connection.subscriptions) for connection in world.service.connections], [11, 1])
        self.assertEqual(want_one_again(), [12])

    def test_a_refusal_of_everything_spreads_nothing(self) -> None:
        """For a while; then all of it comes on as many connections as it needs."""
        world = World(many(13))
        world.exchange.faults.set("refuse", "10305")
        world.start()
        world.advance(40)
        world.exchange.faults.clear()
        world.seconds_until(lambda: world.live, 65)
        self.assertEqual([len(connection.subscriptions) for connection in world.service.connections], [25, 1])

    def test_one_connection_lost_leaves_the_others_live(self) -> None:
        world = World(many(2), channels_per_connection=2).start()
        pump = world.network.pumps[0]
        pump.clientIO.disconnecting = pump.serverIO.disconnecting = True
        world.network.deliver()
        states = [*world.states.values()]
        self.assertEqual(len([state for state in states if state == "live"]), 2, states)


class AtRunTime(SynchronousTestCase):
    """What is wanted changes."""

    def test_one_more(self) -> None:
        world = World([BOOK]).start()
        world.service.want(TRADES)
        world.advance(2)
        self.assertEqual(len(world.states), 2)
        self.assertTrue(world.live)
        self.assertEqual(len(world.network.attempts), 1)

    def test_one_more_than_there_is_room_for(self) -> None:
        world = World([BOOK], channels_per_connection=1).start()
        world.service.want(TRADES)
        world.advance(2)
        self.assertTrue(world.live)
        self.assertEqual(len(world.service.connections), 2)

    def test_one_more_while_there_is_no_connection(self) -> None:
        world = World([BOOK]).start()
        world.network.mood = "refused"
        world.network.cut()
        world.advance(1)
        world.service.want(TRADES)
        world.network.mood = "up"
        world.seconds_until(lambda: world.live, 65)
        self.assertEqual(len(world.states), 2)

    def test_the_same_again_and_another_of_its_kind(self) -> None:
        world = World([BOOK])
        for wrong in (BOOK, Subscription(ChannelName.BOOK, "tBTCUSD", precision="R0")):
            with self.assertRaises(ValueError):
                world.service.want(wrong)

    def test_one_less(self) -> None:
        world = World().start()
        world.service.drop(TRADES)
        world.advance(2)
        self.assertEqual([*world.states], ["BTC/USD book"])
        (conversation,) = world.exchange.sockets.conversations
        self.assertEqual(len(conversation.channels), 1)
        world.network.cut()
        world.advance(10)
        self.assertTrue(world.live)
        (conversation,) = world.exchange.sockets.conversations
        self.assertEqual(len(conversation.channels), 1, "nor on the next connect")

    def test_the_last_one_less_closes_its_connection(self) -> None:
        world = World([BOOK, ETH_BOOK], channels_per_connection=1).start()
        world.service.drop(ETH_BOOK)
        world.advance(2)
        self.assertEqual(len(world.network.pumps), 1)
        self.assertTrue(world.live)
        world.stop()

    def test_stop_waits_for_what_was_just_dropped(self) -> None:
        world = World([BOOK, ETH_BOOK], channels_per_connection=1).start()
        world.network.frozen = True
        world.service.drop(ETH_BOOK)
        world.advance(1.5)
        stopped = world.service.stopService()
        world.advance(0.4)
        self.assertFalse(stopped.called)
        world.advance(2)
        self.assertTrue(stopped.called)

    def test_less_and_more_at_once(self) -> None:
        world = World().start()
        world.service.drop(TRADES)
        world.service.want(TRADES)
        world.advance(5)
        self.assertTrue(world.live, world.states)

    def test_less_of_what_was_never_wanted(self) -> None:
        with self.assertRaises(ValueError):
            World([BOOK]).service.drop(TRADES)


class Refused(SynchronousTestCase):
    """What the exchange does not have."""

    def test_is_told_once_and_the_others_go_on(self) -> None:
        world = World([BOOK])
        fake = Subscription(ChannelName.TRADES, "tFAKEPAIR:XYZ")
        world.service.want(fake)
        world.start()
        self.assertEqual(world.refusals, [("FAKEPAIR/XYZ trades", 10300)])
        self.assertEqual(world.states["BTC/USD book"], "live")
        self.assertIn("symbol: invalid", world.states["FAKEPAIR/XYZ trades"])
        world.advance(120)
        self.assertEqual(len(world.refusals), 1)

    def test_is_not_told_while_the_platform_is_in_maintenance(self) -> None:
        world = World([BOOK])
        for fault in ("platform-status=0", "refuse=10300"):
            world.exchange.faults.set_from(fault)
        world.start()
        self.assertEqual(world.refusals, [])
        world.exchange.faults.clear()
        world.seconds_until(lambda: world.live, 60)


class Status(SynchronousTestCase):
    """What `GET /status` says of the feed."""

    def test_it_tells_what_there_is(self) -> None:
        """Its JSON is what readers know."""
        world = World().start()
        world.exchange.faults.set("skip-seq")
        world.seconds_until(lambda: bool(world.ends), 10)
        world.seconds_until(lambda: world.live, 10)
        status = world.service.status()
        (connection,), counted = status.connections, status.counters
        self.assertRegex(connection.last_end or "", r"^sequence: expected sequence number \d+, received \d+$")
        self.assertGreater(counted.frames, 10)
        told = {"number": 1, "state": "open", "session": "ready", "since": connection.since, "channels": 2}
        strange = {"stray_frames": counted.stray_frames, "unknown_events": 0, "refusals": 0}
        expected = {
            "url": "ws://exchange/ws/2",
            "connections": [{**told, "last_end": connection.last_end}],
            "ends": {"sequence": 1},
            "budget": {"used": 2, "of": 10, "blocked_s": 0.0},
            "counters": {"frames": counted.frames, "bytes": counted.bytes, **strange, "pongs": 0},
        }
        self.assertEqual(msgspec.json.encode(status), msgspec.json.encode(expected))
