"""Which gaps remain after a merge, against a model: the ids that no recording is sure of."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import Gap, GapLedger, GapState, Mark
from bfxtwist.files.findings import Findings
from bfxtwist.files.gap_ledger import read_gap_ledger
from bfxtwist.files.merge_gaps import Source, unfilled_gaps
from tests.files.rows import FIRST_MTS
from tests.files.test_gap_ledger import gap

SPANS = st.tuples(st.integers(1, 60), st.integers(1, 60)).map(sorted)


class CountingId(int):
    """An id that counts how often one is compared with another."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        CountingId.compared += 1
        return int(self) < int(other)

    def __gt__(self, other: int) -> bool:
        CountingId.compared += 1
        return int(self) > int(other)


class Remaining(SynchronousTestCase):
    def source(self, first: int, last: int, *gaps: Gap) -> Source:
        path, ledger = Path(self.mktemp()), GapLedger()
        for one in gaps:
            ledger.record(one)
        path.write_bytes(ledger.text())
        source = Source(read_gap_ledger(path, Findings()))
        for number in (last, first, (first + last) // 2):
            source.extend(b"%018d" % number, b"%d000" % (FIRST_MTS + number * 1000))
        return source

    def remaining(self, *sources: Source) -> list[tuple[int, int]]:
        return [(gap.start.id, gap.end.id) for gap in unfilled_gaps(sources)]

    def test_only_a_recording_without_a_gap_there_closes_a_gap(self) -> None:
        holed = self.source(1, 100, gap(40, 50), gap(60, 70, state=GapState.FILLED))
        self.assertEqual(self.remaining(holed), [(40, 50)])
        self.assertEqual(self.remaining(holed, self.source(40, 50)), [])
        self.assertEqual(self.remaining(holed, self.source(45, 50)), [(40, 50)])
        self.assertEqual(self.remaining(holed, self.source(40, 49)), [(40, 50)])
        self.assertEqual(self.remaining(holed, self.source(1, 100, gap(45, 55))), [(40, 50), (45, 55)])
        self.assertEqual(self.remaining(holed, self.source(1, 100, gap(50, 55))), [])

    def test_damage_leaves_a_gap_between_the_rows_around_it_and_nowhere_else(self) -> None:
        source = Source([])
        source.damaged()  # above all rows: these begin with the next one
        for number in (5, 3, 7):
            source.block([(b"", b"%d000" % (FIRST_MTS + number * 1000), b"1", b"%d" % number, b"")])
            if number == 5:
                source.damaged()
        self.assertEqual([(gap.start_id, gap.end_id) for gap in source.gaps()], [(3, 5)])

    def test_an_empty_recording_covers_nothing(self) -> None:
        self.assertEqual(self.remaining(self.source(1, 9), Source([])), [])
        self.assertEqual(self.remaining(self.source(1, 9, gap(3, 5)), Source([])), [(3, 5)])

    def test_a_gap_between_recordings_has_their_times_and_its_place(self) -> None:
        between, within = unfilled_gaps([self.source(7, 20, gap(9, 11)), self.source(1, 3)])
        start, end = (Mark(number, FIRST_MTS + number * 1000) for number in (3, 7))
        self.assertEqual((between.start, between.end, between.state), (start, end, GapState.LOST))
        self.assertEqual((between.noticed, between.closed, within.start.id), (end.mts * 1000, end.mts * 1000, 9))

    def test_a_gap_keeps_what_its_ledger_said_of_it(self) -> None:
        lost = gap(40, 50, "history does not reach back", GapState.LOST, 3)
        [kept] = unfilled_gaps([self.source(1, 100, lost)])
        self.assertEqual(kept.line(), lost.line())

    @given(st.lists(SPANS, max_size=6), st.lists(SPANS, max_size=6))
    def test_gaps_of_both_recordings_are_compared_as_if_each_were_with_each(
        self, one_spans: list[list[int]], other_spans: list[list[int]]
    ) -> None:
        one, other = ([*{(first, last + 1) for first, last in spans}] for spans in (one_spans, other_spans))
        remaining = self.remaining(*(self.source(1, 61, *(gap(*span) for span in spans)) for spans in (one, other)))
        expected = [
            (start, end)
            for own, others in ((one, other), (other, one))
            for start, end in own
            if any(first < end and start < last for first, last in others)
        ]
        self.assertEqual(sorted(remaining), sorted(expected))

    def test_ten_thousand_gaps_are_not_compared_each_with_each(self) -> None:
        """Damaged lines make so many, and it would take hours."""
        sources = [self.source(1, 10_000), self.source(1, 10_000)]
        for offset, source in enumerate(sources):
            lines = (self.source(1, 9, gap(number + offset, number + offset + 1)).ledger for number in range(2, 1000, 5))
            source.ledger = [
                line._replace(start_id=CountingId(line.start_id), end_id=CountingId(line.end_id)) for [line] in lines
            ]
        CountingId.compared = 0
        self.assertEqual(self.remaining(*sources), [])
        self.assertLess(CountingId.compared, 400 * 40)

    @given(st.lists(SPANS, min_size=1, max_size=5))
    def test_what_lies_between_recordings_is_a_gap(self, spans: list[list[int]]) -> None:
        gaps = self.remaining(*(self.source(first, last) for first, last in spans))
        # Halves stand for what may lie between two neighbouring ids.
        covered = {half for first, last in spans for half in range(2 * first, 2 * last + 1)}
        holes = {half for first, last in gaps for half in range(2 * first + 1, 2 * last)}
        self.assertEqual(holes, set(range(min(covered), max(covered) + 1)) - covered)
