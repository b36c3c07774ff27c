"""Each fault of the conversation and of its frames, as a client meets it."""

from typing import Any

from twisted.trial.unittest import TestCase

from bfxtwist.core.messages import BookUpdate, Checksum, TradeExecuted, UnknownFrame
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits
from tests.exchange.clients import SocketClient, connect, reactor, subscribe, until

ALL = 65536 + 131072


class FaultyTest(TestCase):
    """A fast market on a real socket, whose heart beats ten times a second."""

    timeout = 20

    async def exchange(self) -> EmbeddedExchange:
        """One that runs until the test is over."""
        exchange = EmbeddedExchange(reactor, SimulatedMarket(rate=20), limits=Limits(heartbeat_seconds=0.1))
        await exchange.start()
        self.addCleanup(exchange.stop)
        self.faults = exchange.faults
        return exchange

    async def client(self, exchange: EmbeddedExchange, *requests: dict[str, Any]) -> SocketClient:
        """One that has asked for everything to be verifiable, and for these."""
        client = await connect(exchange.ws_url)
        client.ask({"event": "conf", "flags": ALL})
        for request in requests:
            client.ask(request)
        return client

    async def verified(self, *requests: dict[str, Any]) -> SocketClient:
        """A client whose book has been verified."""
        client = await self.client(await self.exchange(), *requests or (subscribe(), subscribe(channel="trades")))
        await until(lambda: client.matched)
        return client

    async def test_late_acks_and_early_heartbeats(self) -> None:
        exchange = await self.exchange()
        self.faults.set("late-ack", 0.3)
        self.faults.set("hb-before-ack", 0.1)
        client = await self.client(exchange, subscribe(), subscribe(channel="trades"))
        await until(lambda: client.matched)
        acks = [event for event in client.events if event["event"] == "subscribed"]
        self.assertEqual([ack["channel"] for ack in acks], ["trades", "book"])
        self.assertEqual([frame[1] for frame in client.frames[:2]], ["hb", "hb"])
        self.assertEqual((client.sequence_breaks, client.mismatched), ([], 0))

    async def test_acks_out_of_order(self) -> None:
        exchange = await self.exchange()
        self.faults.set("shuffled-acks", 0.3)
        client = await self.client(exchange, *(subscribe(prec=f"P{number}") for number in range(5)))
        await until(lambda: len(client.events) == 7)
        order = [event["prec"] for event in client.events[2:]]
        self.assertEqual(sorted(order), ["P0", "P1", "P2", "P3", "P4"])
        self.assertNotEqual(order, sorted(order))

    async def test_requests_that_have_no_answer(self) -> None:
        exchange = await self.exchange()
        for fault in ("no-ack", "no-conf", "no-pong"):
            self.faults.set(fault)
        client = await self.client(exchange, subscribe(), {"event": "ping", "cid": 1}, {"event": "nope"})
        await until(lambda: client.event("error"))
        self.assertEqual([event["event"] for event in client.events], ["info", "error"])

    async def test_refusals(self) -> None:
        exchange = await self.exchange()
        for code in ("10300", "10001", "10302", "10305", "11000"):
            self.faults.set("refuse", code)
            client = await self.client(exchange, subscribe())
            await until(lambda client=client: client.event("error"))  # type: ignore[misc]
            self.assertEqual(client.events[-1]["code"], int(code))
        self.faults.clear()
        self.faults.set("refuse-conf")
        client = await self.client(exchange)
        await until(lambda: client.event("error"))
        self.assertEqual(client.events[-1]["code"], 10050)

    async def test_the_channel_limit(self) -> None:
        exchange = await self.exchange()
        self.faults.set("channel-limit", 1)
        client = await self.client(exchange, subscribe(), subscribe(channel="trades"))
        await until(lambda: client.event("error"))
        self.assertEqual(client.events[-1]["code"], 10305)

    async def test_wrong_and_doubled_acks(self) -> None:
        exchange = await self.exchange()
        self.faults.set("wrong-ack")
        client = await self.client(exchange, subscribe())
        await until(lambda: client.event("subscribed"))
        self.assertEqual(client.events[-1]["symbol"], "tWRONG:USD")
        self.faults.set("ack-twice")
        client.ask(subscribe(channel="trades"))
        await until(lambda: len(client.events) == 5)
        self.assertEqual(client.events[-1], client.events[-2])

    async def test_unsubscribing_late_or_never(self) -> None:
        client = await self.verified(subscribe())
        channel = client.events[-1]["chanId"]
        self.faults.set("no-unsubscribed")
        client.ask({"event": "unsubscribe", "chanId": channel})
        seen = len(client.frames)
        await until(lambda: len(client.frames) > seen + 20)
        self.faults.clear()
        self.faults.set("late-unsubscribed", 0.2)
        client.ask({"event": "unsubscribe", "chanId": channel})
        seen = len(client.frames)
        await until(lambda: client.event("unsubscribed"))
        self.assertGreater(len(client.frames), seen)
        await until(lambda: client.frames[-1][:2] == [channel, "hb"])
        self.assertEqual(client.sequence_breaks, [])

    async def test_greetings(self) -> None:
        exchange = await self.exchange()
        self.faults.set("version", 3)
        self.faults.set("platform-status", 0)
        self.faults.set("sorted-keys")
        client = await self.client(exchange)
        await until(lambda: client.event("conf"))
        self.assertEqual((client.events[0]["version"], client.events[0]["platform"]), (3, {"status": 0}))
        self.assertEqual(list(client.events[0]), sorted(client.events[0]))

    async def test_silence(self) -> None:
        exchange = await self.exchange()
        self.faults.set("silence")
        client = await self.client(exchange, subscribe())
        self.faults.clear()
        other = await self.client(exchange, subscribe())
        await until(lambda: other.matched)
        self.assertEqual((client.opened, client.messages), (True, []))

    async def test_broken_sequences(self) -> None:
        for fault in ("skip-seq", "repeat-seq", "restart-seq"):
            client = await self.verified()
            self.faults.set(fault)
            await until(lambda client=client: client.sequence_breaks)  # type: ignore[misc]
            before, after = client.sequence_breaks[0]
            self.assertEqual(after, {"skip-seq": before + 2, "repeat-seq": before, "restart-seq": 1}[fault])

    async def test_books_made_wrong_are_found_wrong(self) -> None:
        for fault in ("corrupt-level", "crossed", "wrong-cs"):
            client = await self.verified(subscribe())
            while not client.mismatched:  # a wrong level that is set right before the next checksum is never found
                matched = client.matched
                self.faults.set(fault)
                await until(lambda client=client, seen=matched + 1: client.mismatched or client.matched > seen)  # type: ignore[misc]
            self.assertEqual(client.sequence_breaks, [])
            if fault != "corrupt-level":  # which stays, and may be in the way when the market has moved on
                self.assertEqual(client.crossed, fault == "crossed")
            await until(lambda: not list(self.faults))
            client.ask({"event": "unsubscribe", "chanId": client.event("subscribed")["chanId"]})  # type: ignore[index]
            client.ask(subscribe())
            await until(lambda client=client: client.event("unsubscribed"))  # type: ignore[misc]
            found, right = client.mismatched, client.matched
            await until(lambda client=client, right=right: client.matched > right + 2)  # type: ignore[misc]
            self.assertEqual(client.mismatched, found)

    async def test_lost_updates_and_ghosts(self) -> None:
        client = await self.verified(subscribe())
        self.faults.set("ghost-delete")
        await until(lambda: client.book.unknown_deletes)
        self.faults.set("lose-update")
        await until(lambda: "lose-update" not in self.faults)
        self.assertEqual(client.sequence_breaks, [])

    async def test_checksums_that_never_come_or_never_match(self) -> None:
        exchange = await self.exchange()
        self.faults.set("always-wrong-cs")
        client = await self.client(exchange, subscribe())
        await until(lambda: client.mismatched > 2)
        self.assertEqual(client.matched, 0)
        self.faults.clear()
        self.faults.set("no-cs")
        other = await self.client(exchange, subscribe())
        await until(lambda: sum(isinstance(message, BookUpdate) for message in other.messages) > 500)
        self.assertFalse(any(isinstance(message, Checksum) for message in other.messages))

    async def test_trades_lost_doubled_and_late(self) -> None:
        exchange = await self.exchange()
        self.faults.set("te-missing", 1)
        client = await self.client(exchange, subscribe(channel="trades"))
        await until(lambda: client.trades)
        self.assertTrue(all(message.confirmed for message in client.trades.values()))
        for fault in ("tu-missing", "te-twice"):
            self.faults.set(fault, 1)
        self.faults.clear("te-missing")
        other = await self.client(exchange, subscribe(channel="trades"))
        await until(lambda: len(other.trades) > 5)
        told = [message for message in other.messages if isinstance(message, TradeExecuted)]
        self.assertFalse(any(message.confirmed for message in told))
        self.assertEqual([m.trade for m in told[::2]], [m.trade for m in told[1::2]])
        self.faults.clear()
        self.faults.set("tu-out-of-order", 0.2)
        third = await self.client(exchange, subscribe(channel="trades"))
        await until(lambda: sum(m.confirmed for m in third.messages if isinstance(m, TradeExecuted)) > 20)
        ids = [m.trade.id for m in third.messages if isinstance(m, TradeExecuted) and m.confirmed]
        self.assertNotEqual(ids, sorted(ids))
        self.assertEqual(third.sequence_breaks, [])

    async def test_stalls(self) -> None:
        client = await self.verified()
        self.faults.set("stall", "hb")
        # There is more on its way, nobody knows how much.
        await until(lambda: {frame[1] == "hb" for frame in client.frames[-6:]} == {True})
        self.faults.set("stall", "nothing")
        other = await self.client(await self.exchange(), subscribe())  # time passes on another exchange
        seen = len(client.messages)
        await until(lambda: other.matched)
        self.assertEqual(len(client.messages), seen)

    async def test_one_channel_stalls(self) -> None:
        client = await self.verified()
        book = next(event["chanId"] for event in client.events if event.get("channel") == "book")
        self.faults.set("stall-channel", "book")
        await until(lambda: book not in {frame[0] for frame in client.frames[-40:]})

    async def test_notices(self) -> None:
        client = await self.verified()
        for fault in ("restart", "maintenance-start", "maintenance-end"):
            self.faults.set(fault)
        await until(lambda: len(client.events) >= 7)
        self.assertEqual([event["code"] for event in client.events[-3:]], [20051, 20060, 20061])

    async def test_connections_are_cut(self) -> None:
        for how in ("rst", "fin", "mid-frame", "close"):
            client = await self.verified()
            self.faults.set("drop", how)
            await until(lambda client=client: client.closed)  # type: ignore[misc]
            self.assertEqual(client.remoteCloseCode, 1001 if how == "close" else None)
            self.assertEqual(client.undecodable, [])

    async def test_a_cut_waits_for_somebody(self) -> None:
        exchange = await self.exchange()
        self.faults.set("drop")
        client = await self.client(exchange, subscribe())
        await until(lambda: client.closed)
        again = await self.client(exchange, subscribe())
        await until(lambda: again.matched)

    async def test_cut_after_so_many_frames(self) -> None:
        exchange = await self.exchange()
        self.faults.set("drop-after", 50)
        client = await self.client(exchange, subscribe())
        await until(lambda: client.closed)
        self.assertGreater(len(client.messages), 2)

    async def test_junk(self) -> None:
        kinds = {"malformed", "binary", "nan", "huge-number", "deep", "surrogate", "scalar"}
        client = await self.verified()
        for kind in sorted(kinds):
            seen = len(client.undecodable)
            self.faults.set("junk", kind)
            await until(lambda seen=seen: len(client.undecodable) > seen)  # type: ignore[misc]
        for kind in ("unknown-channel", "unknown-kind"):
            self.faults.set("junk", kind)
        await until(lambda: any(isinstance(message, UnknownFrame) for message in client.messages))
        self.assertIn([1, 2, 3], [frame[1] for frame in client.frames if frame[0] > 1_000_000])
        self.faults.set("junk", "empty-row")
        self.faults.set("junk", "huge")
        self.faults.set("junk", "unknown-event")
        await until(lambda: client.event("celebration"))
        self.assertEqual(client.sequence_breaks, [])

    async def test_further_fields_at_the_end(self) -> None:
        exchange = await self.exchange()
        self.faults.set("extra-fields")
        everything = {"event": "conf", "flags": ALL + 32768}
        client = await self.client(exchange, everything, subscribe(), subscribe(channel="trades"))
        await until(lambda: client.matched)
        self.assertEqual([frame[-2:] for frame in client.frames[:3]], [["extra", None]] * 3)

    async def test_a_server_that_does_not_read(self) -> None:
        client = await self.verified(subscribe())
        self.faults.set("stop-reading")
        client.ask({"event": "ping", "cid": 1})
        right = client.matched
        await until(lambda: client.matched > right + 1)
        self.assertIsNone(client.event("pong"))
        self.faults.clear()
        await until(lambda: client.event("pong"))
