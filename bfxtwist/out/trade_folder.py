"""The folder of a trade.csv: made if it is missing, and tried before anything is promised of it."""

import os

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
