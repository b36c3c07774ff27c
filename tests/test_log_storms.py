"""A storm costs a few lines and loses no count; what is calm is written as it is."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.log_storms import Storms


def event(text: str, form: str = "{what}", level: LogLevel = LogLevel.info) -> LogEvent:
    return {"log_format": form, "what": text, "log_namespace": "here", "log_level": level}


class StormsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.storms = Storms()

    def write(self, events: Iterable[LogEvent], now: float) -> list[str]:
        return [formatEvent(out) for one in events for out in self.storms.let_through(one, now)]

    def told(self, now: float) -> list[str]:
        return [formatEvent(one) for one in self.storms.summaries(now)]

    def test_what_is_calm_is_written(self) -> None:
        for second in range(20):
            self.assertEqual(self.write([event(f"line {chr(97 + second)}")], second), [f"line {chr(97 + second)}"])
        self.assertEqual(self.told(1000), [])

    def test_two_hundred_feeds_at_once(self) -> None:
        feeds = [event(f"{chr(65 + n // 26)}{chr(65 + n % 26)}/USD is lost") for n in range(200)]
        self.assertEqual(len(self.write(feeds, 7.0)), 5)
        self.assertEqual(self.told(12), [])
        self.assertEqual(self.told(17), ["195 more like this in 1 s, the last: HR/USD is lost"])
        self.assertEqual(self.told(27), [], "it is over")
        self.assertEqual(self.write([event("AA/USD is live")], 28), ["AA/USD is live"])

    def test_a_storm_that_goes_on_is_told_of_now_and_then(self) -> None:
        lines = []
        for second in range(60):
            lines += self.write([event("".join(chr(97 + int(d)) for d in f"{second}{n}")) for n in range(10)], second)
        self.assertEqual(len(lines), 5 + 5)
        self.assertIn("100 more like this in 9 s", lines[-1])

    def test_a_connection_that_is_refused_all_night(self) -> None:
        lines = []
        for minute in range(600):
            text = f"connection 1 ended, connect: refused; again in {60 - minute % 7}.{minute % 10} s"
            lines += self.write([event(text)], minute * 60.0)
        self.assertLess(len(lines), 70)
        self.assertIn("10 more like this in 5", lines[-1])
        self.assertIn("connect: refused", lines[-1])

    def test_a_state_that_changes_all_night_is_told_to_the_last(self) -> None:
        for minute in range(60):
            for text in ("not live: BTC/USD book", "live again: BTC/USD book"):
                self.assertEqual(self.write([event(text) | {"news": True}], minute * 60.0 + len(text)), [text])

    def test_one_line_that_was_withheld_is_written_as_it_is(self) -> None:
        lines = [event(text) for text in "abcdef"]
        self.assertEqual(self.write(lines, 0), list("abcde"))
        self.assertEqual(self.told(10), ["f"])

    def test_a_traceback_that_was_printed_is_whole(self) -> None:
        lines = ["Traceback (most recent call last):", *(f'  File "{name}.py"' for name in "abcdefgh"), "ValueError: wrong"]
        printed = [event("", "{log_io}") | {"log_io": line} for line in lines]
        self.assertEqual(self.write(printed, 5.0), lines)
        self.assertEqual(len(self.write(printed * 100, 5.0)), 20, "each twice more")

    def test_what_is_critical_is_written(self) -> None:
        ends = [event("the disk failed", level=LogLevel.critical)] * 20
        self.assertEqual(len(self.write(ends, 0)), 20)

    def test_everything_is_told_at_the_end(self) -> None:
        self.write([event("a b")] * 9, 0)
        self.assertEqual(len(self.told(float("inf"))), 2)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30))))
    def test_no_line_is_lost_to_the_count(self, steps: list[tuple[str, float]]) -> None:
        storms, now, seen = Storms(), 0.0, 0
        for text, pause in steps:
            now += pause
            seen += sum(_weight(one) for one in storms.let_through(event(text), now))
        seen += sum(map(_weight, storms.summaries(float("inf"))))
        self.assertEqual(seen, len(steps))


def _weight(one: LogEvent) -> int:
    return int(one.get("count", 1))
