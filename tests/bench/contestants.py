"""Who is measured, and how each is started: a process on its own, told its work on the command line."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.cpu import memory
from tests.bench.environments import BFXAPI, CACHE, CCXT, CRYPTOFEED, node_folder, python_of
from tests.bench.replay import Replay
from tests.bench.script import Workload
from tests.bench.symbols import pairs

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "clients"

Command = Callable[["Work"], list[str]]


class Work(NamedTuple):
    """One run of one contestant."""

    workload: Workload
    replay_port: int
    folder: Path
    paced: bool = False
    http_port: int = 0

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.replay_port}/ws/2"

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.replay_port}/v2"

    @property
    def text(self) -> str:
        """For the clients' command line."""
        workload = self.workload
        return json.dumps({
            "ws_url": self.ws_url, "rest_url": self.rest_url, "symbols": workload.symbols, "pairs": pairs(workload.pairs),
            "channel": workload.channel, "levels": workload.levels, "precision": workload.precision,
            "file": str(self.folder / "trade.csv"), "paced": self.paced, "root": str(ROOT),
        })  # fmt: skip


class Contestant(NamedTuple):
    """`command` starts it; `available` says whether it can be started here. `verifies`: checksums, sequence numbers."""

    name: str
    command: Command
    available: Callable[[], bool]
    verifies: str


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _bfxtwist(work: Work) -> list[str]:
    """What a user would start, with its defaults."""
    workload = work.workload
    command = [
        *(str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "bfx", "--channel", workload.channel),
        *("--pair", ",".join(pairs(workload.pairs)), "--ws-url", work.ws_url, "--rest-url", work.rest_url),
        *("--listen", f"tcp:{work.http_port}:interface=127.0.0.1", "--lock-folder", str(work.folder)),
    ]
    if workload.channel == "trades":
        return [*command, "--file-path", str(work.folder / "data")]
    return [*command, "--precision", workload.precision, "--length", str(workload.levels)]


def scripted(name: str, interpreter: Callable[[], Path | None] = lambda: Path(sys.executable)) -> Command:
    """The command of one of the clients beside this file."""

    def command(work: Work) -> list[str]:
        return [str(interpreter()), str(CLIENTS / name), work.text]

    return command


def _node(managed: bool) -> Command:
    def command(work: Work) -> list[str]:
        return ["node", str(CLIENTS / "node_client.js"), json.dumps({**json.loads(work.text), "managed": managed})]

    return command


BFXTWIST = Contestant("bfxtwist", _bfxtwist, lambda: True, "checksums, sequence")
CONTESTANTS = [
    BFXTWIST,
    Contestant(
        "cryptofeed",
        scripted("cryptofeed_client.py", lambda: python_of(CRYPTOFEED)),
        lambda: python_of(CRYPTOFEED) is not None,
        "checksums, sequence",
    ),
    Contestant(
        "ccxt.pro",
        scripted("ccxt_client.py", lambda: python_of(CCXT)),
        lambda: python_of(CCXT) is not None,
        "checksums",
    ),
    Contestant(
        "bitfinex-api-py",
        scripted("bfxapi_client.py", lambda: python_of(BFXAPI)),
        lambda: python_of(BFXAPI) is not None,
        "checksums (its example's)",
    ),
    Contestant("bitfinex-api-node", _node(False), lambda: node_folder() is not None, "sequence"),
    Contestant("bitfinex-api-node managed", _node(True), lambda: node_folder() is not None, "checksums"),
    Contestant("floor", scripted("floor_client.py"), lambda: True, "nothing"),
]


class Running:
    """A contestant at work. A context manager; `pid` is the process measured."""

    def __init__(self, contestant: Contestant, workload: Workload, replay: Replay, *, paced: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bfxtwist-bench-")
        self.folder = Path(self._folder.name)
        self.work = Work(workload, replay.port, self.folder, paced, free_port())
        self._contestant = contestant
        self._log = (self.folder / "log").open("wb")
        environment = {**os.environ, "NODE_PATH": str(CACHE / "node" / "node_modules")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the peers came with theirs: nobody compiles at each start
        environment["PYTHONPATH"] = str(ROOT if contestant is BFXTWIST else CLIENTS)
        self._process = subprocess.Popen(
            contestant.command(self.work),
            cwd=self.folder,
            env=environment,
            stdout=self._log if contestant is BFXTWIST else subprocess.PIPE,
            stderr=self._log,
        )
        self.pid = self._process.pid
        try:
            replay.wait_ready(60 + workload.pairs)
        except TimeoutError as error:
            log = self.log()
            self.__exit__()
            raise RuntimeError(f"{contestant.name}: {error}\n{log}") from None

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()
        self._folder.cleanup()

    def log(self) -> str:
        """The end of what it said on stderr."""
        return (self.folder / "log").read_bytes()[-2000:].decode(errors="replace")

    def get(self, path: str) -> Any:
        """A JSON document from bfxtwist."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.work.http_port}{path}", timeout=10) as response:
            return json.load(response)

    def peak_memory(self) -> int:
        """The most bytes that it has had; raises RuntimeError if it has died."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._contestant.name} died: {self.log()}")
        return memory(self.pid)[1]

    def finish(self) -> dict[str, Any]:
        """End it. What it has seen; raises RuntimeError if it had died.

        `updates` of books; `checksums` that it verified (None where that does not show); `mismatches` that it complained
        of; `rows`: how many of the streamed trades stand in its file.
        """
        self.peak_memory()
        if self._contestant is BFXTWIST:
            seen = self._bfxtwist_saw()
        else:
            self._process.send_signal(signal.SIGTERM)
            try:
                seen = json.loads(self._process.communicate(timeout=30)[0].splitlines()[-1])
            except (subprocess.TimeoutExpired, IndexError):
                raise RuntimeError(f"{self._contestant.name} does not say what it has seen: {self.log()}") from None
        if self.work.workload.channel == "trades":
            numbers = {int(one) for path in self.folder.rglob("trade.csv") for one in re.findall(rb"\d+", path.read_bytes())}
            seen["rows"] = len(numbers.intersection(self.work.workload.trade_ids))
        return seen

    def _bfxtwist_saw(self) -> dict[str, Any]:
        feeds = [feed["counters"] for feed in self.get("/status")["feeds"]]
        total = {name: sum(counters[name] for counters in feeds) for name in feeds[0]}
        checked = total["checksums_matched"] + total["checksums_mismatched"]
        return {
            "updates": total["frames"] - total["snapshots"] - checked,
            "checksums": checked,
            "mismatches": total["checksums_mismatched"],
        }
