"""One recorder on a real disk in a process of its own, for faults that only a kernel can make.

    python tests/out/trade_on_real_disk.py FOLDER rlimit      the process may write no file beyond some bytes, then it may
    python tests/out/trade_on_real_disk.py FOLDER fill        the file system runs full, then there is room again
    python tests/out/trade_on_real_disk.py FOLDER start       only start, and end with the exit code of what failed

Prints what was seen as JSON: {"problem": while it was bad, "missing": ids, "doubled": ids, "torn": bytes}.
"""

import json
import os
import resource
import sys
from pathlib import Path

from bfxtwist.core.trade_rows import HEADER, Layout
from bfxtwist.out.disk import OsDisk
from bfxtwist.out.trade_errors import TradeFileError
from tests.out.recording import Recording

LAYOUT = Layout("tBTCUSD")


def recording_in(folder: Path) -> Recording:
    """A recorder that has not begun."""
    return Recording(folder=str(folder), disk=OsDisk())


def trade_until_it_fails(recording: Recording) -> str:
    """Rows until the disk takes no more, and some beyond. Why it does not."""
    problem = ""
    for _ in range(3000):
        recording.trade(pause=0.5)
        problem = problem or recording.recorder.not_ready() or ""
        if problem and len(recording.ledger()) % 40 == 0:
            break
    return problem


def seen(recording: Recording, folder: Path, problem: str) -> str:
    """What came of it."""
    recording.wait(150)
    recording.recorder.stop()
    content = (folder / "trade.csv").read_bytes()
    whole, _, torn = content.rpartition(b"\n")
    ids = [int(i) for i in LAYOUT.ids(whole[len(HEADER) :] + b"\n") or []]
    missing = sorted(set(recording.ledger()) - set(ids))
    return json.dumps({"problem": problem, "missing": missing, "doubled": len(ids) - len(set(ids)), "torn": len(torn)})


def limited(folder: Path) -> str:
    """RLIMIT_FSIZE: a short write first, EFBIG after it."""
    recording = recording_in(folder).live()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    problem = trade_until_it_fails(recording)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return seen(recording, folder, problem)


def filled(folder: Path) -> str:
    """ENOSPC, with something else to be removed."""
    recording = recording_in(folder).live()
    ballast = folder / "ballast"
    try:
        with open(ballast, "wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass
    except OSError:
        pass
    problem = trade_until_it_fails(recording)
    ballast.unlink()
    return seen(recording, folder, problem)


def started(folder: Path) -> str:
    """Start and stop."""
    recording = recording_in(folder).start()
    recording.recorder.stop()
    return "{}"


def main(folder: Path, what: str) -> None:
    """Do it."""
    try:
        sys.stdout.write({"rlimit": limited, "fill": filled, "start": started}[what](folder) + "\n")
    except TradeFileError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(Path(os.path.abspath(sys.argv[1])), sys.argv[2])
