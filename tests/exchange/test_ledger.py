"""The ledger, in memory and on file."""

from pathlib import Path

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import Trade
from bfxtwist.exchange.ledger import Ledger, read_ledger

TRADE = Trade(5, 6000, b"-2.8e-7", b"64250.5")


class LedgerTest(SynchronousTestCase):
    """Every trade in its own digits."""

    def test_a_file_survives_and_is_appended_to(self) -> None:
        path = Path(self.mktemp())
        for number in range(3):
            ledger = Ledger(path)
            ledger.record("tBTCUSD", replace(TRADE, id=number + 1))
            # Not closed: who is killed leaves what was recorded.
            self.assertEqual(len(read_ledger(path)["tBTCUSD"]), number + 1)
            ledger.close()
        self.assertEqual(read_ledger(path)["tBTCUSD"][2], replace(TRADE, id=3))
        self.assertEqual(path.read_bytes().splitlines()[0], b'{"symbol":"tBTCUSD","trade":[1,6000,-2.8e-7,64250.5]}')

    def test_nothing_yet(self) -> None:
        self.assertEqual(Ledger()["tBTCUSD"], [])

    def test_not_a_ledger(self) -> None:
        path = Path(self.mktemp())
        for line in ("hello", '{"symbol":"tBTCUSD","trade":[1,2]}', '{"symbol":"tBTCUSD","trade":["a",2,3,4]}'):
            path.write_text(line)
            with self.assertRaises(ValueError):
                read_ledger(path)
