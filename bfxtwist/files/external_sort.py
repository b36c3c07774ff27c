"""Sorting more lines than memory holds: sorted runs on disk, merged a bounded number at a time."""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path

#: Lines of a trade file, with their keys, take some 150 bytes each in memory: a run is about 40 MB.
RUN_LINES = 250_000

#: So many runs are open at a time: far below any limit of open files (256 on macOS).
FAN_IN = 64


def sorted_lines(lines: Iterable[bytes], folder: Path, run_lines: int = RUN_LINES, fan_in: int = FAN_IN) -> Iterator[bytes]:
    """The lines, each ending with its line feed, in the order of their bytes.

    `folder` is an empty one for the runs. At most `run_lines` lines are held in memory, and no file is written for fewer.
    """
    folder.mkdir(exist_ok=True)
    names = (folder / str(number) for number in count())
    runs: list[Path] = []
    source = iter(lines)
    while run := sorted(islice(source, run_lines)):
        if not runs and len(run) < run_lines:
            yield from run
            return
        runs.append(_written(next(names), run))
        del run
    while len(runs) > fan_in:
        oldest, runs = runs[:fan_in], runs[fan_in:]
        runs.append(_written(next(names), _merged(oldest)))
    yield from _merged(runs)


def _written(path: Path, lines: Iterable[bytes]) -> Path:
    with path.open("wb") as file:
        file.writelines(lines)
    return path


def _merged(runs: Iterable[Path]) -> Iterator[bytes]:
    """Merge some runs, and remove them."""
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in runs]
        yield from heapq.merge(*files)
    for path in runs:
        path.unlink()
