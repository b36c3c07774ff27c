"""What is told of the connections to the exchange, as JSON."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.channels import Tally
from bfxtwist.core.uplink_status import BudgetStatus, ConnectionState, ConnectionStatus, UplinkStatus


class Json(SynchronousTestCase):
    def test_what_there_is_not_is_null(self) -> None:
        """A connection that was never open, and a budget whose file another process has just now."""
        since = "2026-09-23T03:33:34.850Z"
        connection = ConnectionStatus(
            number=1, state=ConnectionState.WAITING, session=None, since=since, channels=0, last_end=None
        )
        budget = BudgetStatus(used=None, of=10, blocked_s=None)
        status = UplinkStatus(url="ws://exchange/ws/2", connections=[connection], ends={}, budget=budget, counters=Tally())
        waiting = {"number": 1, "state": "waiting", "session": None, "since": since}
        expected = {
            "url": "ws://exchange/ws/2",
            "connections": [{**waiting, "channels": 0, "last_end": None}],
            "ends": {},
            "budget": {"used": None, "of": 10, "blocked_s": None},
            "counters": dict.fromkeys(("frames", "bytes", "stray_frames", "unknown_events", "refusals", "pongs"), 0),
        }
        self.assertEqual(msgspec.json.encode(status), msgspec.json.encode(expected))
