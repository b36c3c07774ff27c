"""GET /book: requests per CPU second of bfxtwist with its feed running, and of Flask as the program's forerunner used it."""

import os
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.contestants import BFXTWIST, CLIENTS, Running, free_port
from tests.bench.cpu import tree_cpu_seconds, wait_idle
from tests.bench.environments import FLASK, python_of
from tests.bench.http_load import Load
from tests.bench.replay import Replay
from tests.bench.script import Workload

#: The rate of one real book in 2026, messages a second.
FEED_RATE = 50

WORKLOAD = Workload("GET /book", levels=250, messages=20_000)


def measure(seconds: float, connections: int = 10) -> list[dict[str, Any]]:
    """Each server once, in turn, flat out."""
    figures = [_bfxtwist(seconds, connections), _bfxtwist(seconds, connections, alike=False)]
    python = python_of(FLASK)
    if python is None:
        return figures
    gunicorn = [str(python), "-m", "gunicorn", "-w", "1", "-k", "sync", "--log-level", "error", "flask_app:app", "-b"]
    port = free_port()
    with _running([str(python), str(CLIENTS / "flask_app.py")], port) as pid:
        figures.append(_load("Flask, its own server", pid, port, seconds, connections))
    port = free_port()
    with _running([*gunicorn, f"127.0.0.1:{port}"], port) as pid:
        figures.append(_load("Flask on gunicorn, sync", pid, port, seconds, connections))
    return figures


def _bfxtwist(seconds: float, connections: int, *, alike: bool = True) -> dict[str, Any]:
    """Clients that poll send the same bytes again and again; `alike` or not, since that makes a difference here."""
    with Replay(WORKLOAD) as replay, Running(BFXTWIST, WORKLOAD, replay) as running:
        wait_idle(running.pid)
        feed = threading.Thread(target=replay.pace, args=(FEED_RATE, 1, int(FEED_RATE * (seconds + 1))))
        feed.start()
        name = "bfxtwist, its feed running" if alike else "the same, no two requests alike"
        figure = _load(name, running.pid, running.work.http_port, seconds, connections, alike=alike)
        feed.join()
        return figure


def _load(name: str, pid: int, port: int, seconds: float, connections: int, *, alike: bool = True) -> dict[str, Any]:
    before = tree_cpu_seconds(pid)
    load = Load(port, connections, alike=alike)
    with load:
        time.sleep(seconds)
    used = tree_cpu_seconds(pid) - before
    answers = load.answers
    return {"server": name, "per_cpu_second": answers.answered / used, **answers._asdict()}


@contextmanager
def _running(command: list[str], port: int) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="bfxtwist-bench-") as folder:
        body = Path(folder) / "body"
        body.write_bytes(b'{"bids":[' + b",".join([b"[10000.5,1.23456789,3]"] * 500) + b'],"asks":[]}')
        environment = {**os.environ, "BENCH_BODY": str(body), "BENCH_PORT": str(port)}
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=CLIENTS, env=environment, stdout=quiet, stderr=quiet)
        try:
            _wait_for(port)
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/book", timeout=5).read()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise TimeoutError("the server does not answer")
