"""What a daemon loads: nothing that only other runs need, and all that its own needs before it starts."""

import json
import subprocess
import sys
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from tests.running import ROOT

#: A process of its own, as far as twistd goes before it starts the service. The names of everything that it has loaded.
_MAKE = """
import json, sys
from bfxtwist.app import Options, makeService

options = Options()
options.parseOptions(sys.argv[1:])
makeService(options)
print(json.dumps(sorted(sys.modules)))
"""

_BOOK = ("--pair", "BTC/USD", "--channel", "book", "--listen", "tcp:0:interface=127.0.0.1")
_ELSEWHERE = ("--ws-url", "ws://127.0.0.1:9/ws/2", "--rest-url", "http://127.0.0.1:9/v2")


def loaded(*words: str) -> set[str]:
    """The modules of `twistd bfx` with these options."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _MAKE, *words]
        done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    return set(json.loads(done.stdout))


class Loaded(SynchronousTestCase):
    def test_of_the_exchange_only_what_the_relay_shares(self) -> None:
        names = {name for name in loaded(*_BOOK, *_ELSEWHERE) if name.startswith("bfxtwist.exchange.")}
        shared = {"bfxtwist.exchange." + name for name in ("conversation", "server", "venue", "views")}
        self.assertLessEqual(names, shared)

    def test_no_tools_and_no_compressor(self) -> None:
        names = {name for name in loaded(*_BOOK, *_ELSEWHERE) if name.startswith(("bfxtwist.files.", "backports.zstd"))}
        known = {"bfxtwist.files." + name for name in ("trade_file", "findings", "recording")}  # rows, and names of parts
        self.assertLessEqual(names, known)

    def test_the_demo_before_it_starts(self) -> None:
        self.assertIn("bfxtwist.exchange.embedded", loaded(*_BOOK, "--demo"))
