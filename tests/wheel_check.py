"""Install a wheel into a fresh environment and ask it what a user would: is all of it there, and does the demo run?

    python tests/wheel_check.py dist/bfxtwist-0.1.0-py3-none-any.whl

The demo runs with the newest of what the wheel requires, and once more with the oldest that it says will do. With these it
runs over TLS, too, whose libraries depend on each other the most.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import trustme

_ROOT = Path(__file__).parents[1]

#: What an environment has installed of the wheel: the lines of what it requires.
_REQUIRED = "import importlib.metadata, json; print(json.dumps(importlib.metadata.requires('bfxtwist')))"


def main(wheel: str) -> None:
    if missing := _package_files() - set(ZipFile(wheel).namelist()):
        sys.exit(f"the wheel lacks {', '.join(sorted(missing))}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "venv", with_pip=True)
        pip = (home / "venv/bin/pip", "install", "-q")
        subprocess.run([*pip, Path(wheel).resolve()], check=True, cwd=home)
        twistd = home / "venv/bin/twistd"
        listed = subprocess.run([twistd, "--help"], check=True, cwd=home, capture_output=True, text=True).stdout
        for command in ("bfx ", "bfx-exchange "):
            if f"    {command}" not in listed:
                sys.exit(f"twistd --help does not list {command}:\n{listed}")
        for name in ("bfx@.service", "alerts.yml", "dashboard.json"):
            if not (home / "venv/share/bfxtwist" / name).is_file():
                sys.exit(f"the wheel puts no {name} under share/bfxtwist")
        _run_demo(twistd, home / "newest")
        subprocess.run([*pip, *_oldest(home / "venv/bin/python")], check=True, cwd=home)
        _run_demo(twistd, home / "oldest")
        _run_over_tls(twistd, home / "tls")
    sys.stdout.write("the wheel brings both commands, and runs with the newest and the oldest libraries\n")


def _package_files() -> set[str]:
    """All that the package consists of, the page's files too, which nobody imports."""
    files = {path for path in (_ROOT / "bfxtwist").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return {path.relative_to(_ROOT).as_posix() for path in files}


def _oldest(python: Path) -> list[str]:
    """What the installed wheel requires, each at its lower bound: autobahn<27,>=26.10.2 is autobahn==26.10.2 here."""
    required = json.loads(subprocess.run([python, "-c", _REQUIRED], check=True, capture_output=True).stdout)
    return [re.sub(r"^([\w.\[\]-]+).*>=([\w.]+).*", r"\1==\2", line) for line in required if "extra ==" not in line]


def _run_demo(twistd: Path, home: Path) -> None:
    """Everything in one process, and over TCP: the exchange is within."""
    home.mkdir()
    port = _free_port()
    words = f"bfx --demo -p BTC/USD -c book -c trades -f data -l tcp:{port}:interface=127.0.0.1"
    with _running(twistd, home, words) as demo:
        _look(port, demo)
    if len((home / "data/trade.csv").read_text().splitlines()) < 2:
        sys.exit("the demo wrote no trades")


def _run_over_tls(twistd: Path, home: Path) -> None:
    """Two processes, as with the true exchange: wss and https, with a certificate that an authority vouches for."""
    home.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(home / "authority.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(home / "certificate.pem")
    port, theirs = _free_port(), _free_port()
    exchange = f"bfx-exchange -p BTC/USD -l ssl:{theirs}:interface=127.0.0.1:privateKey=certificate.pem"
    daemon = f"bfx -p BTC/USD -c book -c trades -f data -l tcp:{port}:interface=127.0.0.1 --ca-file authority.pem"
    urls = f"--ws-url wss://localhost:{theirs}/ws/2 --rest-url https://localhost:{theirs}/v2"
    with _running(twistd, home, exchange), _running(twistd, home, f"{daemon} {urls}") as running:
        _look(port, running)
        _answer(f"http://127.0.0.1:{port}/status", running, lambda status: status["recorders"]["tBTCUSD"]["pages"] > 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(twistd: Path, home: Path, words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon until the end of the block. What it logged is shown if that fails."""
    command = [str(twistd), "-n", "--pidfile=", *words.split()]
    path = home / f"{command[3]}.log"
    with path.open("wb") as log:
        daemon = subprocess.Popen(command, cwd=home, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield daemon
        except BaseException:
            sys.stderr.write(path.read_text())
            raise
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(10)


def _look(port: int, daemon: subprocess.Popen[bytes]) -> None:
    book = _answer(f"http://127.0.0.1:{port}/book", daemon, bool)
    if not (book["bids"] and book["asks"] and book["status"] == "live"):
        sys.exit(f"the daemon served {book}")


def _answer(url: str, daemon: subprocess.Popen[bytes], enough: Callable[[Any], bool]) -> Any:
    """A JSON document as soon as it says enough."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and daemon.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # a loopback address of our own making
                if enough(document := json.load(answer)):
                    return document
        except OSError:
            pass  # no book yet, nobody listens, or it is busy
        time.sleep(0.2)
    sys.exit(f"{url} did not say enough within 60 s (exit code {daemon.poll()})")


if __name__ == "__main__":
    main(sys.argv[1])
