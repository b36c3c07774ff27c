"""`python -m tests.soak --minutes 30 --seed 7`: runs, prints a report, and exits with 1 where it is not clean."""

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

from tests.soak.report import report
from tests.soak.run import Choices, Soak


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long to break things [default: 30]")
    parser.add_argument("--seed", type=int, default=None, help="of the market and the faults [default: a new one]")
    parser.add_argument("--rate", type=float, default=4.0, help="how many times faster than usual the market lives")
    parser.add_argument("--pair", action="append", help="repeatable [default: BTC/USD and ETH/USD]")
    parser.add_argument("--folder", type=Path, help="where files and logs are kept [default: a new temporary one]")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    seed = SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    soak = Soak(Choices(chosen.minutes, seed, chosen.rate, tuple(chosen.pair or ("BTC/USD", "ETH/USD")), folder.absolute()))
    sys.stdout.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed {seed}; files and logs: {folder}\n")
    sys.stdout.flush()
    soak.run()
    text, clean = report(soak)
    sys.stdout.write(text)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
