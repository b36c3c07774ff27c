"""A cable is pulled, for real: a daemon and an exchange in a network of their own, in which the only link goes down and up.

Nothing is closed and nothing is refused; what is sent goes nowhere. The daemon serves on a socket in the file system, which
is no part of that network.
"""

import os
import shutil
from pathlib import Path
from unittest import SkipTest

from twisted.internet.utils import getProcessOutput, getProcessValue

from bfxtwist.exchange.ledger import read_ledger
from tests.running import TwistdProcess, WholeTest, reactor
from tests.truth import judge

URLS = ("--ws-url", "ws://127.0.0.1:9999/ws/2", "--rest-url", "http://127.0.0.1:9999/v2")


class Network:
    """A network namespace with one link, and who lives in it. Needs root, or user namespaces."""

    def __init__(self) -> None:
        found = [shutil.which(name) for name in ("unshare", "nsenter", "ip")]
        if not all(found):
            raise SkipTest("no unshare, nsenter or ip here: no cable to pull")
        self._unshare, self._nsenter, self._ip = map(str, found)
        self.holder = TwistdProcess()

    async def make(self) -> None:
        """Skips the test where it is not allowed."""
        own = ["-n"] if os.getuid() == 0 else ["-rn"]
        if await getProcessValue(self._unshare, [*own, "true"]):
            raise SkipTest("a network namespace is not allowed here, as root or in a user namespace")
        command = [self._unshare, *own, "sh", "-c", f"{self._ip} link set lo up && echo up && exec sleep 300"]
        reactor.spawnProcess(self.holder, command[0], command, dict(os.environ))

    @property
    def inside(self) -> list[str]:
        """What to put before a command, so that it runs there, by the id of the process that it would have anyway."""
        of_users = [] if os.getuid() == 0 else ["-U", "--preserve-credentials"]
        return [self._nsenter, "-t", str(self.holder.pid), *of_users, "-n"]

    async def link(self, state: str) -> None:
        """Set the link up or down."""
        program, *arguments = [*self.inside, self._ip, "link", "set", "lo", state]
        await getProcessOutput(program, arguments, errortoo=True)


class Cable(WholeTest):
    timeout = 120

    async def test_it_is_noticed_and_nothing_is_lost(self) -> None:
        network = Network()
        await network.make()
        self.addCleanup(network.holder.kill)
        await self.until(lambda: network.holder.said)
        folder = Path(self.mktemp())
        folder.mkdir()
        ledger, rows = folder / "ledger", folder / "trade.csv"
        simulated = ("--pair", "BTC/USD", "--seed", "20261122", "--ledger", str(ledger))
        self.twistd("bfx-exchange", *simulated, within=network.inside)
        await self.until(ledger.exists)
        served = f"unix:{folder / 'http'}"
        wanted = ("-p", "BTC/USD", "-c", "book", "-c", "trades", "--file-path", str(folder), "--listen", served)
        daemon = self.twistd("bfx", *wanted, *URLS, "--lock-folder", str(folder), within=network.inside)
        await self.until(lambda: daemon.said.count(" live: ") == 2 and rows.exists())

        await network.link("down")
        await self.until(lambda: daemon.said.count("not live: BTC/USD") == 2)
        await network.link("up")
        await self.until(lambda: daemon.said.count("live again after") == 2)

        told = read_ledger(ledger)["tBTCUSD"]
        await self.until(lambda: judge(told, rows, before=told[-1].mts).missing == [])
        verdict = judge(read_ledger(ledger)["tBTCUSD"], rows, before=told[-1].mts)
        self.assertTrue(verdict.equal, verdict)
        self.assertEqual(verdict.excused, 0)
