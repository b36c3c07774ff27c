"""A daemon whose address is taken ends with one line, whether somebody looks at it or not."""

import os
import sys
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue

from bfxtwist.exchange.simulated import SimulatedMarket
from tests.running import ROOT, WholeTest

LINE = "bfx-exchange: cannot listen (Address already in use): choose another --listen"


class Taken(WholeTest):
    async def outcome(self, *own: str) -> tuple[str, int]:
        """What an exchange says on both outputs whose port another one has, and its exit code."""
        other = await self.exchange(SimulatedMarket(7, ("tBTCUSD",)))
        words = ["--pidfile=", *own, "bfx-exchange", "--listen", f"tcp:{other.port}:interface=127.0.0.1"]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = str(Path(sys.executable).with_name("twistd"))
        said, errors, code = await getProcessOutputAndValue(command, words, environ)
        return (said + errors).decode(), code

    async def test_in_the_foreground(self) -> None:
        said, code = await self.outcome("-n")
        self.assertEqual((said.count(LINE), code), (1, 1), said)
        self.assertNotIn("Traceback", said)

    async def test_in_the_background(self) -> None:
        """The process that waits for its daemon is told, or it would wait for ever."""
        log = Path(self.mktemp()).absolute()
        said, code = await self.outcome(f"--logfile={log}")
        self.assertEqual(code, 1, said)
        self.assertIn("cannot listen (Address already in use)", said)
        await self.until(lambda: LINE in log.read_text())  # written when the other process has been told, and has gone
