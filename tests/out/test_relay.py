"""The relay, as its clients see it: in memory, from the HTTP upgrade on."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.out.guard import guard
from tests.out.relayed import OB_CHECKSUM, UPGRADE, KeptBook, Relayed
from tests.out.served import Client, request

_BOOK = {"event": "subscribed", "channel": "book", "chanId": 1, "symbol": "tBTCUSD", "prec": "P0", "freq": "F0", "len": "25"}


class Protocol(SynchronousTestCase):
    """What is asked and answered."""

    def setUp(self) -> None:
        self.relayed = Relayed()
        self.client = self.relayed.connect()

    def test_greeting(self) -> None:
        """Version 2, and whether there is anything live."""
        (info,) = self.client.greeting
        self.assertEqual((info["event"], info["version"], info["platform"]), ("info", 2, {"status": 1}))
        self.relayed.lose()
        self.assertEqual(self.relayed.connect().greeting[0]["platform"], {"status": 0})

    def test_book(self) -> None:
        """Acknowledgement, snapshot, then what changes, then the checksum of what was told."""
        ack, (channel, snapshot) = self.client.subscribe()
        self.assertEqual(ack, {**_BOOK, "pair": "BTCUSD"})
        self.relayed.update(b"6000.75", b"1", b"7e-7")
        self.relayed.update(b"6001.50", b"0", b"-1")
        self.relayed.verify()
        self.relayed.turn()
        updates = [5976.5, 0, 1], [6001.5, 0, -1], [6000.75, 1, 7e-7]  # one leaves the window
        self.assertEqual(self.client.take(), [[channel, list(row)] for row in updates])
        self.client.ask(event="conf", flags=OB_CHECKSUM)
        self.relayed.verify()
        self.relayed.turn()
        self.assertEqual(self.client.take(), [[channel, "cs", self.relayed.book.book.checksum()]])
        self.assertTrue(len(snapshot) == 50)

    def test_numbers_keep_their_digits(self) -> None:
        """The exchange's own tokens go through, as the checksum needs them."""
        self.client.subscribe()
        self.relayed.update(b"6000.7500", b"1", b"2.50e-7")
        self.relayed.turn()
        self.assertTrue(self.client.transport.value().endswith(b"[1,[6000.7500,1,2.50e-7]]"))

    def test_shorter_book(self) -> None:
        """A shorter one than is carried is a window on it, whose checksum is that of the top 25 all the same."""
        _, (_, snapshot) = self.client.subscribe(len=1)
        kept = KeptBook(snapshot)
        self.client.ask(event="conf", flags=OB_CHECKSUM)
        self.relayed.update(b"6000.75", b"1", b"1")
        self.relayed.verify()
        self.relayed.turn()
        told = self.client.take()
        self.assertEqual(sorted(kept.take(told).levels), [(False, 6001.5), (True, 6000.75)])
        self.assertEqual(told[-1], [1, "cs", self.relayed.book.book.checksum()])

    def test_slow_book(self) -> None:
        """F1 tells every two seconds."""
        self.client.subscribe(freq="F1")
        batches = 0
        for step in range(50):
            self.relayed.update(b"6000.50", b"1", b"%d" % (step + 1))
            self.relayed.turn(0.1)
            batches += bool(self.client.take())
        self.assertEqual(batches, 4)  # at once, and then after 2, 4 and 6 s

    def test_trades(self) -> None:
        """Thirty at most and the newest first, then te and tu."""
        for id in range(4, 40):
            self.relayed.execute(id)
        _, (channel, snapshot) = self.client.subscribe("trades")
        self.assertEqual([row[0] for row in snapshot], list(range(39, 9, -1)))
        self.relayed.execute(40)
        self.relayed.execute(40, confirmed=True)
        self.relayed.turn()
        row = [40, 1_790_134_414_040, 40, 6443.5]
        self.assertEqual(self.client.take(), [[channel, "te", row], [channel, "tu", row]])

    def test_refusals(self) -> None:
        """What is not carried, in the exchange's words."""
        for asked, said in {
            ("book", "tETHUSD", "P0", "25"): "symbol: invalid",
            ("trades", "tETHUSD", "P0", "25"): "symbol: invalid",
            ("book", "tBTCUSD", "P1", "25"): "precision: invalid",
            ("book", "tBTCUSD", "P0", "100"): "length: invalid",
            ("ticker", "tBTCUSD", "P0", "25"): "channel: unknown",
        }.items():
            channel, symbol, prec, length = asked
            (error,) = self.client.subscribe(channel, symbol, prec=prec, len=length)
            self.assertEqual((error["event"], error["code"], error["msg"]), ("error", 10300, said))
        self.client.subscribe()
        (error,) = self.client.subscribe()
        self.assertEqual((error["code"], error["chanId"]), (10301, 1))

    def test_unsubscribe(self) -> None:
        """Nothing comes any more, and the stream ends with its last reader."""
        self.client.subscribe()
        answer = self.client.ask(event="unsubscribe", chanId=1)
        self.assertEqual(answer, [{"event": "unsubscribed", "status": "OK", "chanId": 1}])
        self.relayed.update(b"6000.75", b"1", b"1")
        self.relayed.turn()
        self.assertEqual(self.client.take(), [])
        self.assertEqual(self.relayed.book.listeners, [])
        self.assertEqual(self.client.ask(event="unsubscribe", chanId=1)[0]["code"], 10400)

    def test_ping(self) -> None:
        """The protocol's own, and WebSocket's, which many clients send."""
        self.assertEqual(self.client.ask(event="ping", cid=7), [{"event": "pong", "cid": 7, "ts": 1_790_134_414_850}])
        self.assertEqual(self.client.say(b"alive", opcode=9), [b"alive"])


class Bounds(SynchronousTestCase):
    """What a client may take."""

    def test_connections(self) -> None:
        """One too many is told so over HTTP, and may come when another has gone."""
        relayed = Relayed(connections=2)
        first, _, third = (relayed.connect() for _ in range(3))
        self.assertIn(b"503 Service Unavailable", third.head)
        self.assertIn(b"Retry-After", third.head)
        first.transport.loseConnection()
        first.take()
        self.assertTrue(relayed.connect().upgraded)

    def test_the_status(self) -> None:
        """Its JSON is what readers know. Trades have no parameters."""
        relayed = Relayed(connections=3)
        first, second, third, _ = (relayed.connect() for _ in range(4))
        first.subscribe()
        first.subscribe("trades")
        second.subscribe(len=1)
        second.choke()
        third.ask(event="ping", cid=1, filler="x" * 5000)
        expected = {
            "connections": 3,
            "choked": 1,
            "refused": 1,
            "ended": {"too long": 1},
            "readers": [
                {"symbol": "tBTCUSD", "channel": "book", "prec": "P0", "freq": "F0", "len": "25", "readers": 1},
                {"symbol": "tBTCUSD", "channel": "trades", "readers": 1},
                {"symbol": "tBTCUSD", "channel": "book", "prec": "P0", "freq": "F0", "len": "1", "readers": 1},
            ],
        }
        self.assertEqual(msgspec.json.encode(relayed.relay.status()), msgspec.json.encode(expected))

    def test_idle(self) -> None:
        """Without a channel and without a word for a minute; pings of the WebSocket are words."""
        relayed = Relayed()
        silent, pinging, reading = (relayed.connect() for _ in range(3))
        reading.subscribe()
        for _ in range(13):
            pinging.say(b"", opcode=9)
            relayed.turn(5)
        for client in (silent, pinging, reading):
            client.take()
        self.assertEqual([client.lost for client in (silent, pinging, reading)], [True, False, False])

    def test_strange_origin(self) -> None:
        """A page of a stranger may not connect; the page of the daemon, and one that is allowed, may."""
        relayed = Relayed(guard=guard(origins=["https://desk.example"]))
        for origin, upgraded in {
            "https://stranger.example": False,
            "null": False,
            "https://desk.example": True,
            "http://localhost": True,
        }.items():
            self.assertEqual(relayed.connect(f"Origin: {origin}").upgraded, upgraded, origin)

    def test_strange_host(self) -> None:
        """A stranger's name that is pointed here is not ours, for the upgrade either."""
        self.assertEqual(Client(Relayed().site).get("/ws/2", *UPGRADE, host="stranger.example").status, 421)

    def test_no_upgrade(self) -> None:
        """A browser that is pointed at it is told what it is."""
        response = Client(Relayed().site).get("/ws/2")
        self.assertEqual((response.status, response.headers["Upgrade"]), (426, "websocket"))

    def test_handshake_that_is_none(self) -> None:
        """What is wrong with it is told like every other problem, and the connection goes on."""
        key = UPGRADE[-1]
        cases = (
            (("Connection: keep-alive", "Sec-WebSocket-Version: 13", key), 400, "Connection: Upgrade"),
            (("Connection: Upgrade", key), 426, "Sec-WebSocket-Version: 13"),
            (("Connection: Upgrade", "Sec-WebSocket-Version: 12", key), 426, "Sec-WebSocket-Version: 13"),
            (("Connection: Upgrade", "Sec-WebSocket-Version: 13"), 400, "Sec-WebSocket-Key"),
            (("Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short=="), 400, "Sec-WebSocket-Key"),
            (("Connection: Upgrade", "Sec-WebSocket-Version: 13", key, key), 400, "Sec-WebSocket-Key"),
        )
        client = Client(Relayed().site)
        for headers, status, detail in cases:
            with self.subTest(headers=headers):
                response = client.get("/ws/2", "Upgrade: websocket", *headers)
                self.assertEqual(response.status, status)
                self.assertIn(detail, msgspec.json.decode(response.body)["detail"])
                self.assertEqual(response.headers["Content-Type"], "application/problem+json")
                self.assertEqual(response.headers.get("Sec-Websocket-Version"), "13" if status == 426 else None)

    def test_handshakes_that_are_one(self) -> None:
        """As browsers and other clients write them."""
        browser = "upgrade: WebSocket", "connection: keep-alive, Upgrade"
        for headers in (browser, ("Upgrade: websocket", "Connection: UPGRADE")):
            client = Client(Relayed().site)
            client.transport.protocol = client.channel  # type: ignore[attr-defined]  # as a real one has
            client.send(request("/ws/2", *headers, *UPGRADE[2:]))
            self.assertTrue(client.transport.value().startswith(b"HTTP/1.1 101 "), headers)

    def test_nonsense(self) -> None:
        """What is no JSON has no answer, as at the exchange; what asks for nothing known has."""
        client = Relayed().connect()
        self.assertEqual(client.say(b"hello"), [])
        self.assertEqual(client.say(b"\x00\xff", opcode=2), [])
        self.assertEqual(client.ask(event="nope")[0]["code"], 10000)
        self.assertIsNone(client.close)


class Stop(SynchronousTestCase):
    """The daemon stops."""

    def test_clients_are_told(self) -> None:
        """20051, a close, and the service waits for the clients, but not for long."""
        relayed = Relayed()
        polite, rude = relayed.connect(), relayed.connect()
        stopped = relayed.relay.stopService()
        self.assertEqual((polite.take()[0]["code"], polite.close), (20051, (1001, "the daemon stops")))
        polite.say(b"\x03\xe9", opcode=8)
        self.assertNoResult(stopped)
        relayed.turn(1)
        rude.take()
        self.successResultOf(stopped)

    def test_nobody_is_there(self) -> None:
        """It stops at once, and leaves nothing behind."""
        relayed = Relayed()
        self.successResultOf(relayed.relay.stopService())
        self.assertEqual(relayed.clock.getDelayedCalls(), [])

    def test_and_is_started_again(self) -> None:
        """A program may do so: what happens to the feeds is told as before, and it can be stopped again."""
        relayed = Relayed()
        relayed.book.lost("the connection is gone", relayed.now())
        self.successResultOf(relayed.relay.stopService())
        relayed.book.syncing("waiting for the snapshot", relayed.now())
        relayed.relay.startService()
        relayed.snapshot()
        client = relayed.connect()
        client.subscribe()
        relayed.lose()
        self.assertEqual([message["code"] for message in client.take()], [20060])
        stopped = relayed.relay.stopService()
        relayed.turn(1)
        client.take()
        self.successResultOf(stopped)
        self.assertEqual(relayed.clock.getDelayedCalls(), [])
