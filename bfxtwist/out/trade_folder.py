"""The folder of a trade.csv: made if it is missing, and tried before anything is promised of it."""

import os
from pathlib import Path

from bfxtwist.core.symbols import parse_pair
from bfxtwist.core.trade_rows import HEADER, LONGEST_LINE, Layout
from bfxtwist.out.disk import Disk, OsDisk
from bfxtwist.out.trade_errors import CannotCreate, explained

FOLDER_MODE = 0o750


def check_folder(path: str | os.PathLike[str], disk: Disk | None = None) -> None:
    """Make a folder for trade files if it is missing, and see that files can be made in it. Raises TradeFileError."""
    disk = disk if disk is not None else OsDisk()
    folder = os.path.abspath(path)
    probe = os.path.join(folder, f".bfxtwist-{os.getpid()}")
    try:
        found = disk.find(folder)
        if found is None:
            disk.make_folder(folder, FOLDER_MODE)
        elif found.kind != "a directory":
            raise CannotCreate(f"{folder} is {found.kind}: name a folder")
        disk.remove(probe)  # of a process that had this pid and was killed right here
        disk.close(disk.create(probe, 0o600))
        disk.remove(probe)
    except OSError as error:
        raise explained(folder, error) from error


def left_behind(folder: Path, symbol: str) -> Path | None:
    """The pair's recording where it was while there were more pairs, or fewer, and this folder has none yet.

    Pairs that share a folder get one each within it, so that one more pair, or one less, begins a new recording.
    """
    name = parse_pair(symbol).file_name
    other = (folder.parent if folder.name == name else folder / name) / "trade.csv"
    if (folder / "trade.csv").exists() or not other.is_file():
        return None
    try:
        with other.open("rb") as file:
            lines = file.readline(len(HEADER)), file.readline(LONGEST_LINE)
    except OSError:
        return None  # whose it is cannot be seen, and nobody has asked for it
    is_ours = lines[0] == HEADER and Layout(symbol).read(lines[1].removesuffix(b"\n")) is not None
    return other if is_ours else None
