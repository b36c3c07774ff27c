"""Requests that come again: answered as if each were the first, whatever happens in between."""

from collections.abc import Iterable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.market import Market
from bfxtwist.core.messages import Rows
from bfxtwist.out.guard import Guard
from bfxtwist.out.http import HttpApi
from bfxtwist.out.http_channel import LINGER_SECONDS, HttpChannel, Phase
from bfxtwist.out.repeats import RepeatChannel
from bfxtwist.out.site import Site
from tests.out.served import Client, TurningClock, change, live_book, moment, request, rows, site_of
from tests.out.test_routes import requests, site_by, undated, whole_api

BOOK = request("/book")
ASKED = [BOOK, request("/book?depth=1", "Accept-Encoding: gzip"), request("/nothing"), request("/book", method="HEAD")]
EVENTS = ["turn", "pause", "resume", "change", "half a minute"]


class Served:
    """A book on a site, and one client."""

    def __init__(self, protocol: type[HttpChannel] = RepeatChannel, portion: int = 8) -> None:
        market = Market()
        self.feed = live_book(market, levels=60)
        self.clock = TurningClock()
        self.site: Site = site_of(HttpApi(market, moment, "1").resource(), self.clock, requests_per_turn=portion)
        self.site.protocol = protocol  # type: ignore[assignment]
        self.client = Client(self.site)
        self._price = 5990

    @property
    def channel(self) -> RepeatChannel:
        assert isinstance(self.client.channel, RepeatChannel)
        return self.client.channel

    def ask(self, *segments: bytes) -> None:
        for segment in segments:
            self.client.send(segment)
            self.clock.turn()

    def happen(self, event: str) -> None:
        if event == "turn":
            self.clock.turn()
        elif self.client.closed:
            return
        elif event == "pause":
            self.client.channel.pauseProducing()
        elif event == "resume":
            self.client.channel.resumeProducing()
        elif event == "half a minute":
            self.clock.advance(15)
        else:
            self._price -= 1
            change(self.feed, b"%d.5" % self._price)

    def seen(self) -> tuple[object, ...]:
        """Everything that a client, or who looks at the counters, could notice."""
        client = self.client
        sent, cut = undated(client.transport.value()), (client.closed, client.transport.disconnected)
        return sent, cut, client.reading, client.channel.phase, dict(self.site.answered), self.site.connections


class RepeatTests(SynchronousTestCase):
    def statuses(self, served: Served) -> list[int]:
        return [response.status for response in served.client.received]

    def test_the_same_bytes_bring_what_the_book_is_now(self) -> None:
        served = Served()
        served.ask(BOOK, BOOK)
        change(served.feed)
        served.ask(BOOK)
        served.feed.lost("the connection broke", moment(3))
        served.ask(BOOK)
        first, second, third, fourth = served.client.received
        self.assertEqual(first.body, second.body)
        self.assertIn(b"5990.5", third.body)
        self.assertNotEqual(third.headers["ETag"], second.headers["ETag"])
        self.assertEqual((fourth.status, fourth.headers["Retry-After"]), (503, "2"))
        self.assertEqual(dict(served.site.answered), {200: 3, 503: 1})

    def test_what_was_said_of_another_answer_is_not_said_again(self) -> None:
        served = Served()
        served.feed.lost("the connection broke", moment(3))
        served.ask(BOOK)
        served.feed.snapshot(Rows(1, rows(60), 9, None), moment(4))
        served.ask(BOOK)
        self.assertEqual(self.statuses(served), [503, 200])
        self.assertNotIn("Retry-After", served.client.received[1].headers)

    def test_a_route_that_does_not_say_how_long_its_answer_is_does_not_mix_it_with_the_next(self) -> None:
        api = whole_api()
        api.add_route("/short", lambda request: b"short")
        client = Client(site_by(api, protocol=RepeatChannel))
        client.send(request("/short"))
        client.transport.clear()
        client.send(request("/short"))
        client.send(request("/short"))
        self.assertEqual([response.body for response in client.received], [b"short"] * 2)

    def test_what_is_known(self) -> None:
        for data, known in (
            (BOOK, True),
            (request("/book", method="HEAD"), True),
            (request("/book?nonsense"), True),
            (request("/nothing"), False),  # what Klein's own way answers
            (request("/book", method="OPTIONS"), False),
            (request("/book", host="evil.example"), False),
            (request("/book", "Connection: close"), False),
            (request("/book", "Expect: 100-continue"), False),  # each is told to continue
            (request("/book", "X: " + "y" * 2048), False),
            (BOOK + BOOK, False),
        ):
            served = Served()
            served.ask(data)
            self.assertEqual(served.channel._known is not None, known, data)

    def test_what_another_guard_let_pass_is_not_known_any_more(self) -> None:
        """But what waits for its turn has been let in."""
        for portion, statuses in ((8, [200, 401, 200]), (1, [200, 200, 401, 200])):
            served = Served(portion=portion)
            served.ask(BOOK)
            if portion == 1:
                served.site.turns.admit(lambda: None)  # somebody else's request takes this turn
                served.client.send(BOOK)
                self.assertIs(served.channel.phase, Phase.QUEUED)
            served.site.admit(Guard(token=b"secret"))
            served.clock.turn()
            served.ask(BOOK, request("/book", "Authorization: Bearer secret"))
            self.assertEqual(self.statuses(served), statuses)

    def test_what_came_in_pieces_is_not_known(self) -> None:
        served = Served()
        served.ask(BOOK[:20], BOOK[20:])
        self.assertIsNone(served.channel._known)
        served.ask(BOOK, BOOK)
        self.assertEqual(self.statuses(served), [200, 200, 200])

    def test_the_idle_and_those_who_do_not_read_are_cut_as_ever(self) -> None:
        served = Served()
        served.ask(BOOK)
        served.clock.advance(29)
        served.ask(BOOK)
        served.clock.advance(29)
        self.assertFalse(served.client.closed)
        served.clock.advance(1)
        self.assertTrue(served.client.closed)

        served = Served()
        served.ask(BOOK)
        served.client.channel.pauseProducing()
        served.ask(BOOK)
        self.assertEqual((self.statuses(served), served.client.channel.phase), ([200], Phase.UNREAD))
        served.clock.advance(30)
        served.clock.advance(LINGER_SECONDS)
        self.assertTrue(served.client.transport.disconnected)

    def test_repetitions_wait_for_their_turn_too(self) -> None:
        served = Served(portion=2)
        others = [Client(served.site) for _ in range(6)]
        for client in others:
            client.send(BOOK)
            served.clock.turn()
            served.clock.turn()
        for client in others:
            client.send(BOOK)
        for answered in (2, 4, 6):
            self.assertEqual(sum(len(client.received) - 1 for client in others), answered)
            served.clock.turn()

    def test_one_that_leaves_while_it_waits_is_forgotten(self) -> None:
        served = Served(portion=1)
        other = Client(served.site)
        served.ask(BOOK)
        other.send(BOOK)
        served.client.send(BOOK)
        channel = served.channel
        self.assertIs(channel.phase, Phase.QUEUED)
        channel.connectionLost(Failure(ConnectionDone()))
        served.clock.turn()
        self.assertEqual((len(served.client.received), channel._known, served.site.connections), (1, None, 1))

    def test_the_one_idle_for_longest_makes_room_and_to_repeat_is_not_to_idle(self) -> None:
        served = Served()
        other = Client(served.site)
        served.ask(BOOK, BOOK)
        self.assertEqual(list(served.site._waiting), [other.channel, served.channel])


class SameAsEverTests(SynchronousTestCase):
    """A channel that knows repetitions, beside one that does not."""

    def setUp(self) -> None:
        self.api = whole_api()

    @given(st.lists(requests(), min_size=1, max_size=3), st.lists(st.integers(0, 2), min_size=2, max_size=8))
    @settings(max_examples=200)
    def test_any_requests_again_and_again(self, drawn: list[bytes], order: list[int]) -> None:
        seen = []
        for protocol in (HttpChannel, RepeatChannel):
            site = site_by(self.api, protocol=protocol)
            client = Client(site)
            for number in order:
                if not client.closed:
                    client.send(drawn[number % len(drawn)])
            seen.append((undated(client.transport.value()), client.closed, site.answered))
        self.assertEqual(seen[0], seen[1])
        self.flushLoggedErrors(ZeroDivisionError)

    @given(
        st.lists(st.tuples(st.sampled_from(ASKED), st.lists(st.sampled_from(EVENTS), max_size=3)), max_size=12),
        st.integers(1, 3),
        st.sampled_from([1000, 1000, 60, 7]),
    )
    @settings(max_examples=200)
    def test_whatever_happens_between_them_and_however_they_are_cut(
        self, steps: list[tuple[bytes, list[str]]], portion: int, piece: int
    ) -> None:
        seen = [list(self._live(Served(protocol, portion), steps, piece)) for protocol in (HttpChannel, RepeatChannel)]
        self.assertEqual(seen[0], seen[1])

    def _live(self, served: Served, steps: Sequence[tuple[bytes, list[str]]], piece: int) -> Iterable[tuple[object, ...]]:
        for data, events in steps:
            for start in range(0, len(data), piece):
                if not served.client.closed:
                    served.client.send(data[start : start + piece])
            for event in events:
                served.happen(event)
            yield served.seen()
        for _ in range(len(steps) + 1):
            served.happen("resume")
            served.happen("turn")
        yield served.seen()
