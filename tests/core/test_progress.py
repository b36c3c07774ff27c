"""How far a recording has been compared: what is saved of it must not change behind the state's back."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import Gap, Mark
from bfxtwist.core.progress import Progress

_START, _END, _FRONTIER = Mark(10, 1000), Mark(20, 2000), Mark(90, 9000)


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gap = Gap(_START, _END, "silent", noticed=3_000_000, left=_START, floor=11)
        self.progress = Progress(1, _FRONTIER, 80, [self.gap])

    def test_an_open_gap_wants_older_trades_than_the_frontier_does(self) -> None:
        self.assertEqual((self.progress.lowest, Progress(1, _FRONTIER, 80).lowest), (11, 80))

    def test_from_where_on_trades_are_wanted(self) -> None:
        """None from before the first that was ever recorded, and with the overlap in which each walk asks again."""
        self.assertEqual((self.progress.wanted, Progress(85, _FRONTIER, 80).wanted, Progress().wanted), (11, 85, 0))
        late = Progress(1, Mark(90, 900_000), 80)
        self.assertEqual((late.since, self.progress.since, Progress().since), (840_000, 0, 0))
        self.gap.left = Mark(15, 100_000)  # what is fetched for it may be in a closed part
        self.assertEqual(msgspec.structs.replace(late, gaps=[self.gap]).since, 40_000)

    def test_what_is_fetched_for_a_gap_is_wanted(self) -> None:
        """Though it is older than the first trade that was wanted so far."""
        late = Progress(30, _FRONTIER, 80)
        self.assertEqual((late.with_gaps([self.gap]).start, late.with_gaps([]).start), (11, 30))
        self.assertEqual((self.progress.with_gaps([]), Progress().with_gaps([self.gap]).start), (self.progress, None))
        self.assertEqual((late.with_gaps([self.gap]).gaps, late.gaps), ([self.gap], []))

    def test_a_copy_stays_as_it_is(self) -> None:
        """Of its gaps, too: what is fetched later would be called compared after a kill, without its rows."""
        before = self.progress.copy()
        self.gap.left = Mark(15, 1500)
        self.progress.gaps.clear()
        self.assertEqual([gap.left for gap in before.gaps], [_START])
