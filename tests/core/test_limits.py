"""What the recorder may hold fits what recovery will take for a crash's work."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.limits import LIMITS
from bfxtwist.core.recovery import TORN_LIMIT
from bfxtwist.out.trade_csv import BATCH_LIMIT


class LimitsTest(SynchronousTestCase):
    def test_what_a_power_loss_can_take_is_within_what_may_be_cut(self) -> None:
        """Else the next start would refuse the file as damaged: what was not synced, and a write that was under way."""
        self.assertLess(LIMITS.unsynced + BATCH_LIMIT, TORN_LIMIT)
