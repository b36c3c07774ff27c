"""Kills real writers of a real trade.csv, again and again, and looks at what they leave.

    python tests/out/kill_writers.py KILLS SEED FOLDER     prints {"kills":…, "torn":…, "lost":…, "doubled":…, "rows":…}

Each writer is a fork of this process: it recovers the file, then appends, syncs and saves as fast as it can, and tells
through a pipe which row was in the file for sure. It is killed within some milliseconds, wherever it is.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from random import Random

from bfxtwist.core.gaps import Mark
from bfxtwist.core.progress import Progress
from bfxtwist.core.recovery import Saved
from bfxtwist.core.trade_rows import HEADER, Layout
from bfxtwist.out.disk import OsDisk
from bfxtwist.out.trade_file import TradeFile
from bfxtwist.out.trade_state import LockFile, StateFile

LAYOUT = Layout("tBTCUSD")
MTS = 1_700_000_000_000
#: `Layout.line` makes these; a killer wants them faster.
ROW = b"bitfinex,BTCUSD,17%08d000000,1700000000000000,%d,sell,6443.1,0.5\n"
#: A new folder from time to time keeps the files small, and recovery fast.
KILLS_IN_A_FOLDER = 5


def write_until_killed(folder: Path, told: int, random: Random) -> None:
    """The life of one writer."""
    disk = OsDisk()
    path = str(folder / "trade.csv")
    LockFile(disk, f"{path}.lock").acquire()
    state = StateFile(disk, f"{path}.state")
    file = TradeFile(disk, path, LAYOUT)
    file.open(state.load(), time.time_ns() // 1000)
    next_id = (file.last_id or 0) + 1
    while True:
        count = random.choice([1, 30, 800, 3000])
        ids = range(next_id, next_id + count)
        file.append(b"".join(ROW % (i, i) for i in ids), ids[-1])
        next_id += count
        os.write(told, b"%d\n" % ids[-1])
        if random.random() < 0.2:
            mark, failures = file.base, file.sync_failures
            file.sync_job()()
            file.synced_to(mark, failures)
            assert file.file is not None
            progress = Progress(1, Mark(1, MTS), 1)
            state.save(Saved(LAYOUT.exchange, LAYOUT.symbol, file.file, mark, ids[-1], progress, []))


def kill_one(folder: Path, random: Random) -> int:
    """Fork a writer and kill it. The last row that it told of."""
    told, tell = os.pipe()
    seed = random.randrange(10**9)
    pid = os.fork()
    if pid == 0:
        try:
            write_until_killed(folder, tell, Random(seed))
        finally:
            os._exit(1)  # a writer does not end by itself
    os.close(tell)
    head = os.read(told, 1)  # it writes
    time.sleep(random.uniform(0, 0.004))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "a writer ended by itself"
    pieces = [head]
    while piece := os.read(told, 65536):
        pieces.append(piece)
    os.close(told)
    return int(b"".join(pieces).split(b"\n")[-2])


def look(folder: Path, last_told: int) -> tuple[bool, int, int, int]:
    """Whether the last row is torn, and how many rows were lost, doubled and whole."""
    content = (folder / "trade.csv").read_bytes()
    whole, _, torn = content.rpartition(b"\n")
    assert content.startswith(HEADER)
    ids = LAYOUT.ids(whole[len(HEADER) :] + b"\n")
    assert ids is not None, "a torn row in the middle"
    kept = set(ids)
    lost = 0 if len(kept) >= last_told else last_told - len(kept)
    assert not ids or int(ids[-1]) == len(kept), "rows in another order"
    return bool(torn), lost, len(ids) - len(kept), len(ids)


def main(kills: int, seed: int, where: str) -> None:
    """Kill so many writers."""
    random = Random(seed)
    result = {"kills": 0, "torn": 0, "lost": 0, "doubled": 0, "rows": 0}
    for number in range(kills):
        folder = Path(where, str(number // KILLS_IN_A_FOLDER))
        folder.mkdir(exist_ok=True)
        torn, lost, doubled, rows = look(folder, kill_one(folder, random))
        result["kills"] += 1
        result["torn"] += torn
        result["lost"] += lost
        result["doubled"] += doubled
        result["rows"] = max(rows, result["rows"])
        if number % KILLS_IN_A_FOLDER == KILLS_IN_A_FOLDER - 1:
            (folder / "trade.csv").unlink()
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
