"""`GET /metrics` is what Prometheus reads, and holds up nobody."""

from functools import partial

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from treq.testing import StubTreq

from bfxtwist.out.http import HttpApi
from bfxtwist.out.metrics import one_each_turn
from tests.out.recording import SlowThread
from tests.out.served import TurningClock, change, moment
from tests.out.told import MetricsTestCase, Told


class MetricsTest(MetricsTestCase):
    def test_what_the_process_is_like(self) -> None:
        self.assertGreater(self.value("process_resident_memory_bytes"), 1e6)
        self.assertIn("python_gc_collections", self.families())
        self.assertEqual(self.value("bfxtwist_build_info", version="1.2.3"), 1)

    def test_openmetrics_for_those_who_ask_for_it(self) -> None:
        response, text = self.ask(Accept="application/openmetrics-text; version=1.0.0")
        self.assertIn("openmetrics", response.headers.getRawHeaders("content-type")[0])
        self.assertIn("bfxtwist_messages", {family.name for family in parse_openmetrics(text)})
        response, _ = self.ask()
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["text/plain; version=0.0.4; charset=utf-8"])

    def test_the_text_is_made_elsewhere_of_what_was_read(self) -> None:
        thread = SlowThread()
        told = Told(thread)
        api = HttpApi(told.market, moment, "1.2.3")
        api.add_slow_route("/metrics", told.metrics.answer)
        treq = StubTreq(api.resource())
        asked = treq.get("http://localhost/metrics", headers={"Accept-Encoding": ["gzip"]})
        [(job, done)] = thread.jobs
        change(told.book)
        made = job()
        self.assertIn("gzipped", vars(made))  # compressed where nobody waits for it
        self.assertNoResult(asked)
        done.callback(made)
        treq.flush()
        text = self.successResultOf(self.successResultOf(asked).content()).decode()
        before = told.book.counts.updates - 1
        self.assertIn(f'bfxtwist_book_updates_total{{channel="book",pair="BTC/USD"}} {before}.0', text)

    def test_one_metric_is_read_each_turn(self) -> None:
        """Of hundreds of books all at once would hold up the feeds."""
        clock = TurningClock()
        told = Told(in_turns=partial(one_each_turn, clock=clock))
        api = HttpApi(told.market, moment, "1.2.3")
        api.add_slow_route("/metrics", told.metrics.answer)
        treq = StubTreq(api.resource())
        asked = treq.get("http://localhost/metrics")
        turns = 0
        while clock.getDelayedCalls():
            self.assertNoResult(asked)
            clock.turn()
            turns += 1
        treq.flush()
        text = self.successResultOf(self.successResultOf(asked).content()).decode()
        self.assertEqual({family.name for family in parse(text)}, self.families().keys())
        self.assertGreaterEqual(turns, len(told.families()))

    def test_a_parameter_is_a_mistake(self) -> None:
        response, _ = self.ask("/metrics?name=x")
        self.assertEqual(response.code, 400)
