"""The processes of a soak: the exchange that is told what shall go wrong, and daemons that are killed and measured.

Nothing here is asynchronous: whoever soaks looks on from outside, once a second.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

#: Seconds within which a process must say where it listens. A machine that is busy otherwise takes its time.
_START = 30.0

#: A daemon that is told to stop must have ended within so many seconds.
STOP_WITHIN = 5.0

_KIB = 1024


class Gone(Exception):
    """A process ended that nobody told to; the text says which, and its last words."""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


class ExchangeProcess:
    """`exchange_side.py`, and what may be told to it."""

    def __init__(self, folder: Path, *, seed: int, rate: float, symbols: Sequence[str], unlimited: bool = False) -> None:
        self.ledger = folder / "ledger.jsonl"
        words = ["--seed", str(seed), "--rate", str(rate), "--symbols", ",".join(symbols), "--ledger", str(self.ledger)]
        with (folder / "exchange.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.soak.exchange_side", *words, *(["--unlimited"] if unlimited else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                env=_environment(),
            )
        self.port = int(self._answer())

    def tell(self, line: str) -> str:
        """Say one line; what it answers. Raises Gone."""
        assert self._process.stdin is not None  # it is a pipe
        self._process.stdin.write(line + "\n")
        return self._answer()

    def state(self) -> dict[str, Any]:
        """What came to its door."""
        state: dict[str, Any] = json.loads(self.tell("state"))
        return state

    def _answer(self) -> str:
        assert self._process.stdout is not None  # it is a pipe
        line = self._process.stdout.readline()
        if not line:
            raise Gone(f"the exchange ended with {self._process.wait()}")
        return line.strip()

    def stop(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


class DaemonProcess:
    """`twistd bfx` on the books and trades of some pairs, started as often as needed on the same folder."""

    def __init__(self, name: str, folder: Path, pairs: Sequence[str], exchange_port: int, *more: str) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.starts = 0
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        where = f"127.0.0.1:{exchange_port}"
        self._words = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "bfx"]
        for pair in pairs:
            self._words += ["-p", pair]
        self._words += ["-c", "book", "-c", "trades", "-f", str(self.folder / "data")]
        self._words += ["--ws-url", f"ws://{where}/ws/2", "--rest-url", f"http://{where}/v2"]
        self._words += ["--listen", "tcp:0:interface=127.0.0.1", *more]

    # --- start and stop ---------------------------------------------------------------------------------------

    @property
    def log(self) -> Path:
        """What the present process says; each has a file of its own."""
        return self.folder / f"log.{self.starts}"

    @property
    def logs(self) -> list[Path]:
        """What all of them said."""
        return sorted(self.folder.glob("log.*"))

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it serves. Raises Gone."""
        self.starts += 1
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self._words, stdout=log, stderr=log, env=_environment(), cwd=self.folder)
        if wait:
            self.wait_until_it_serves()

    def wait_until_it_serves(self) -> None:
        """Raises Gone."""
        end = time.monotonic() + _START
        while (found := re.search(r"listening on (http://\S+)", self.log.read_text())) is None:
            if not self.running or time.monotonic() > end:
                raise Gone(f"{self.name} does not listen: {self.log.read_text()[-2000:]}")
            time.sleep(0.01)
        self.url = found[1]

    @property
    def pid(self) -> int:
        """Of the present process."""
        assert self._process is not None  # it was started
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.running:
            os.kill(self.pid, number)

    def ended(self, within: float) -> int | None:
        """Its exit code, or minus its signal; None if it has not ended within so many seconds."""
        assert self._process is not None  # it was started
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def terminate(self, number: int = signal.SIGTERM) -> tuple[int | None, float]:
        """Tell it to stop. Its exit code, None if it had to be killed, and the seconds that it took."""
        began = time.monotonic()
        self.send(number)
        code = self.ended(4 * STOP_WITHIN)
        seconds = time.monotonic() - began
        self.kill()
        return code, seconds

    # --- what can be seen from outside ------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """A JSON document, also of an error; None if there is no answer."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)
        except (OSError, ValueError):
            return None

    @property
    def ready(self) -> bool:
        """Whether every feed is live and every trade is being recorded."""
        return self.running and self.get("/readyz") == {"ready": True}

    @property
    def resident(self) -> float:
        """Its memory, in MiB; 0 when it has ended."""
        try:
            text = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0.0
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        return int(found[1]) / _KIB if found else 0.0

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open; 0 when it has ended."""
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        except OSError:
            return 0

    # --- what can be done to it -------------------------------------------------------------------------------

    def trade_files(self) -> list[Path]:
        """Every trade.csv in its folder."""
        return sorted((self.folder / "data").rglob("trade.csv"))

    def fill_disk(self, room: int) -> None:
        """No file of the process may grow beyond its largest trade file by more than `room` bytes.

        Python ignores SIGXFSZ, so a write comes out short and the next one fails, as on a full disk.
        """
        largest = max((path.stat().st_size for path in self.trade_files()), default=0)
        self._limit_files(max(largest, self.log.stat().st_size + 64 * _KIB) + room)

    def free_disk(self) -> None:
        """There is room again."""
        self._limit_files(resource.RLIM_INFINITY)

    def _limit_files(self, size: int) -> None:
        if self.running:
            _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, hard))
