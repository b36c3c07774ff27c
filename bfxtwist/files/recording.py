"""Which files make one recording: the live trade.csv of a folder and its rotated parts, and the gap ledger beside them.

    trade-2026-11-21.csv.gz  trade-2026-11-22.csv.zst  trade.csv  trade.gaps.csv

Parts that logrotate has made are known by its names: trade.csv.1, trade.csv.2.gz, or with dateext trade.csv-20261121.gz.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(
    r"(?P<stem>.+?)(?P<part>-\d{4}-\d\d-\d\d.*)?\.csv(?P<logrotate>\.\d+|-\d{8,})?(?P<packed>\.gz|\.zst)?"
)
_LEDGER = ".gaps.csv"
_LOCK = ".csv.lock"
_DIGITS = re.compile(r"(\d+)")


class Recording(NamedTuple):
    """The parts of one recording, oldest first, the live one last. There need not be a ledger."""

    parts: tuple[Path, ...]
    ledger: Path
    inode: int  # of the newest part, when it was found

    @property
    def name(self) -> str:
        """The newest part, and how many others there are."""
        others = len(self.parts) - 1
        return f"{self.parts[-1]}{f' and {others} older' if others else ''}"

    def to_read(self) -> Iterator[Path]:
        """The parts, to be opened one after the other.

        That can take minutes. Raises NoRecording if a daemon has rotated meanwhile: what was in the live file is in a part
        then that was not there before, and would be left out without a word. An older part has another name when it
        has been compressed.
        """
        *older, newest = self.parts
        for part in older:
            if not part.exists():
                raise NoRecording(f"{part} was compressed or moved meanwhile: try again")
            yield part
        if not newest.exists() or newest.stat().st_ino != self.inode:
            raise NoRecording(f"{newest} was rotated meanwhile: try again")
        yield newest


class NoRecording(Exception):
    """There is nothing to read at a path."""


def recordings(paths: Iterable[Path]) -> list[Recording]:
    """The recordings at some files and folders. Raises NoRecording for a path at which there is none.

    A folder is searched, at any depth, for trade.csv and its parts; of a part that is there plain and compressed, as a kill
    in the middle of rotation leaves it until the next start, the one that is whole is taken. A file that is named is taken
    whatever its name is; parts of one recording that are named together stay together.
    """
    grouped: dict[tuple[Path, str], set[Path]] = {}
    for path in paths:
        for part in _files(path):
            grouped.setdefault((part.parent, _stem(part)), set()).add(part)
    return [_recording(parts) for parts in grouped.values()]


def _recording(parts: Iterable[Path]) -> Recording:
    ordered = tuple(sorted(parts, key=_age))
    return Recording(ordered, ledger_of(ordered[-1]), ordered[-1].stat().st_ino)


def ledger_of(part: Path) -> Path:
    """Where the gap ledger of a file stands."""
    return part.with_name(_stem(part) + _LEDGER)


def lock_of(part: Path) -> Path:
    """What a daemon that writes to the recording of a file has locked."""
    return part.with_name(_stem(part) + _LOCK)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise NoRecording(f"there is no {path}")
        return [path]
    found = sorted(_in_folder(path))
    if not found:
        raise NoRecording(f"there is no trade.csv in {path}")
    return found


def _in_folder(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("trade*.csv*"):
        name = _NAME.fullmatch(path.name)
        if name and name["stem"] == "trade" and path.is_file() and not _is_there_otherwise(path, name):
            yield path


def closed_parts(names: Iterable[str]) -> list[str]:
    """Those of a folder's names that trade.csv's closed parts have, oldest first; each part once.

    Of one that is there plain and compressed it is the plain one: that is removed last.
    """
    there = set(names)
    parts = []
    for name in there:
        found = _NAME.fullmatch(name)
        closed = found is not None and found["stem"] == "trade" and (found["part"] or found["logrotate"])
        if found and closed and not (found["packed"] and name.removesuffix(found["packed"]) in there):
            parts.append(Path(name))
    return [part.name for part in sorted(parts, key=_age)]


def _is_there_otherwise(path: Path, name: re.Match[str]) -> bool:
    """Whether the same part is there plain and compressed, and the other one is whole for certain.

    Rotation gives a compressed part its name when it is complete; gzip, under logrotate, writes to the name itself.
    """
    if name["logrotate"]:
        return bool(name["packed"]) and path.with_suffix("").exists()
    if name["packed"] or not name["part"]:
        return False
    return any(path.with_name(path.name + end).exists() for end in (".gz", ".zst"))


def _stem(path: Path) -> str:
    name = _NAME.fullmatch(path.name)
    return name["stem"] if name else path.name


def _age(path: Path) -> tuple[bool, list[str | int]]:
    """What sorts parts by the time in their names (`…-2` before `…-10`), and the live file behind them.

    Of logrotate's numbers, the highest is the oldest.
    """
    name = _NAME.fullmatch(path.name)
    part = (name["part"] or name["logrotate"]) if name else None
    sign = -1 if part and part.startswith(".") else 1
    numbers = [sign * int(piece) if piece.isdigit() else piece for piece in _DIGITS.split(part or "")]
    return part is None, numbers
