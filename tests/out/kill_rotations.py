"""Kills real recorders that rotate a real trade.csv all the time, and lets the last one end well.

    python tests/out/kill_rotations.py KILLS SEED FOLDER      prints {"kills":…, "half":…, "newest":…}

Each recorder is a fork of this process, with an exchange in memory on a clock that runs as fast as it can, and real files.
It tells through a pipe how many trades there have been. `half` counts the kills that left something half done.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from random import Random

from bfxtwist.out.disk import OsDisk
from bfxtwist.out.rotation import Rotation
from bfxtwist.out.trade_recorder import TradeRecorder
from tests.out.recording import Recording, at_once

#: Some 45 rows, so that nearly every tick rotates.
SIZE = 4_000
PAUSE = 0.01

#: Trades that happen while no recorder runs.
UNSEEN = 20


class _Rotating(Recording):
    def make(self) -> TradeRecorder:
        self._arguments["rotation"] = Rotation(self._folder, SIZE, in_thread=at_once)
        return super().make()


def record(folder: Path, happened: int, told: int) -> int:
    """The life of one recorder: until it is killed, or for some more trades if nobody is told. The newest id."""
    recording = _Rotating(str(folder), OsDisk())
    for _ in range(happened):
        recording.exchange.trade()
        recording.clock.advance(PAUSE)
    recording.clock.advance(1)
    recording.start()
    recording.connect()
    for number in range(happened + 1, happened + 500 if told < 0 else sys.maxsize):
        if told >= 0:
            os.write(told, b"%d\n" % number)
        recording.trade(pause=PAUSE)
    recording.wait(130)
    stopped: list[object] = []
    recording.recorder.stop().addBoth(stopped.append)
    assert stopped == [None], stopped
    return max(recording.ledger())


def kill_one(folder: Path, happened: int, random: Random) -> int:
    """Fork a recorder and kill it. How many trades there have been."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(told)
            record(folder, happened, tell)
        finally:
            os._exit(1)  # a recorder does not end by itself
    os.close(tell)
    pieces = [os.read(told, 1)]
    time.sleep(random.uniform(0, 0.15))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "a recorder ended by itself"
    while piece := os.read(told, 65536):
        pieces.append(piece)
    os.close(told)
    return int(b"".join(pieces).split(b"\n")[-2])


def is_half_done(folder: Path) -> bool:
    """Whether something was cut in its middle."""
    names = os.listdir(folder)
    plain = [name for name in names if name.startswith("trade-") and not name.endswith(".gz")]
    return bool(plain) or "trade.csv" not in names


def main(kills: int, seed: int, folder: Path) -> None:
    """Kill so many recorders."""
    random, happened, half = Random(seed), UNSEEN, 0
    for _ in range(kills):
        happened = kill_one(folder, happened, random) + UNSEEN
        half += is_half_done(folder)
    newest = record(folder, happened, -1)
    sys.stdout.write(json.dumps({"kills": kills, "half": half, "newest": newest}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
