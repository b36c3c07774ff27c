"""`python -m bfxtwist verify|merge|sort`: work on trade files, while a daemon runs or not.

Exit codes: 0 clean, 1 not clean, and of sysexits.h: 64 wrong usage, 65 rows that cannot be merged, 66 nothing to read,
73 nowhere to write, 74 the disk failed.
"""

import argparse
import fcntl
import io
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn
from urllib.parse import urlsplit

from bfxtwist import __version__
from bfxtwist.files.compare import compare
from bfxtwist.files.merge import CannotMerge, Merged, merge
from bfxtwist.files.progress import ProgressBar
from bfxtwist.files.recording import NoRecording, Recording, ledger_of, lock_of, recordings
from bfxtwist.files.report import as_json, as_text
from bfxtwist.files.rest import SymbolHistory
from bfxtwist.files.trade_file import MissingDecompressor
from bfxtwist.files.verify import Report, verify
from bfxtwist.settings import REST_URL

_CLEAN, _NOT_CLEAN, _INTERRUPTED = 0, 1, 130

_PATHS = "trade files (.csv, .csv.gz, .csv.zst), or folders that are searched for trade.csv and its rotated parts"
_VERIFY = """\
Check recordings of trades. The live trade.csv and the rotated parts of one folder are one recording, checked as a whole:
the header, every row to its last byte, each id once, one pair, plausible times, and the gaps that trade.gaps.csv names.
Trades that were back-filled stand below newer ones; they are counted as late and are no fault.
"""
_VERIFY_END = "Exit code: 0 clean, 1 not clean, 64 wrong usage, 66 nothing to read, 74 the disk failed."
_MERGE = """\
Make one file of several recordings of one pair: each trade once, in the order of (timestamp, id). Where a trade stands in
more than one, the row that arrived first is taken. OUT appears when it is complete, or not at all.
"""
_MERGE_END = """\
Exit code: 0 done, 64 wrong usage, 65 rows that cannot be merged, 66 nothing to read, 73 nowhere to write, 74 the disk
failed.
"""


class _OneLineErrors(argparse.ArgumentParser):
    """A mistake gives one line and EX_USAGE, not a screen of help."""

    def error(self, message: str) -> NoReturn:
        self.exit(os.EX_USAGE, f"{self.prog}: {message}: see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. The result is the exit code."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files have letters that not every encoding has
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except (NoRecording, FileNotFoundError, PermissionError, IsADirectoryError, MissingDecompressor) as error:
        return _complain(str(error), os.EX_NOINPUT)
    except CannotMerge as error:
        return _complain(str(error), os.EX_DATAERR)
    except OSError as error:
        return _complain(str(error), os.EX_IOERR)
    except KeyboardInterrupt:
        return _complain("interrupted", _INTERRUPTED)
    return code


def _open_closed_streams() -> None:
    """What the shell has closed (`>&-`) is None here. Nobody wants to see anything; the exit code tells all the same."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open to the end


def _tell(text: str) -> None:
    """The result, to a reader who may have gone (`| less`): then, too, the exit code is that of the result."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"bfxtwist: {text}\n")
    return code


# --- options ------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineErrors("python -m bfxtwist", description="Work on recordings of trades.")
    parser.add_argument("--version", action="version", version=f"bfxtwist {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_verify(commands.add_parser("verify", help="check recordings", description=_VERIFY, epilog=_VERIFY_END))
    one = commands.add_parser("merge", help="make one recording of several", description=_MERGE, epilog=_MERGE_END)
    one.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=_PATHS)
    _add_output(one)
    alone = "Like merge, of one recording."
    other = commands.add_parser("sort", help="put one recording in order", description=alone, epilog=_MERGE_END)
    other.add_argument("paths", nargs=1, type=Path, metavar="PATH", help=_PATHS)
    _add_output(other)
    return parser


def _add_verify(command: argparse.ArgumentParser) -> None:
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=_PATHS)
    command.add_argument(
        "--rest", nargs="?", const=REST_URL, type=_url, metavar="URL",
        help=f"compare with the exchange's history too, 10 requests of 10,000 trades a minute ({REST_URL})",
    )  # fmt: skip
    command.add_argument("--allow-gaps", action="store_true", help="open and lost gaps that the ledger names are no fault")
    command.add_argument("--json", action="store_true", help="report as JSON")
    command.set_defaults(run=_verify)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="the file to write; OUT.gz compresses")
    command.add_argument("--force", action="store_true", help="replace OUT if it exists")
    command.add_argument("--skip-damaged", action="store_true", help="leave out, and count, damaged lines and archives")
    command.set_defaults(run=_merge)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL like {REST_URL}; put PATHs before --rest")
    return text


# --- commands -----------------------------------------------------------------------------------------------


def _verify(options: argparse.Namespace) -> int:
    found = recordings(options.paths)
    with ProgressBar("reading", _size(found), sys.stderr) as progress:
        reports = [verify(recording, progress.advance, options.allow_gaps) for recording in found]
    if options.rest:
        for report in reports:
            _compare(report, options.rest)
    _tell(as_json(reports) if options.json else as_text(reports))
    return _CLEAN if all(report.clean for report in reports) else _NOT_CLEAN


def _compare(report: Report, url: str) -> None:
    history = SymbolHistory(url, f"t{report.symbol}")
    now = time.time_ns() // 1_000_000
    with TemporaryDirectory(prefix="bfxtwist-") as folder, ProgressBar("comparing", 1, sys.stderr) as progress:
        compare(report, history, Path(folder), now, progress.to)


def _merge(options: argparse.Namespace) -> int:
    out: Path = options.out
    if os.fspath(out) == "-":
        return _complain("OUT must be a file: it appears when it is whole, its gaps beside it", os.EX_USAGE)
    if not out.parent.is_dir():
        return _complain(f"there is no folder {out.parent}", os.EX_CANTCREAT)
    if not os.access(out.parent, os.W_OK):
        return _complain(f"{out.parent} may not be written to", os.EX_CANTCREAT)
    if out.exists() and not (out.is_file() and options.force):  # nobody's --force means to replace /dev/null
        return _complain(f"{out} exists{': --force replaces it' if out.is_file() else ''}", os.EX_CANTCREAT)
    if out.suffix == ".zst":
        return _complain("OUT can be plain or .gz", os.EX_USAGE)
    if _in_use(out):
        return _complain(f"a daemon is writing to the recording of {out}: choose another OUT", os.EX_CANTCREAT)
    if ledger_of(out).exists() and not options.force:
        return _complain(f"{ledger_of(out)} exists: --force replaces it, too", os.EX_CANTCREAT)
    sources = recordings(options.paths)
    with ProgressBar("merging", _size(sources), sys.stderr) as progress:
        merged = merge(sources, out, skip_damaged=options.skip_damaged, advance=progress.advance)
    _tell(_summary(out, merged))
    return _CLEAN


def _in_use(out: Path) -> bool:
    """Whether a daemon holds the lock of the recording that the file would be of, as its live file or as a part."""
    try:
        with lock_of(out).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _summary(out: Path, merged: Merged) -> str:
    lines = [f"{out}: {merged.written:,} trades of {merged.read:,} rows, {merged.repeated:,} repeated"]
    for count, text in (
        (merged.conflicts, "repeated with another side, price or amount; the row that arrived first was taken"),
        (merged.other_times, "repeated with another timestamp; that of the row that arrived first was taken"),
        (merged.damaged, "damaged lines, left out"),
        (merged.cut_off, "archives whose end is missing, left out from there on"),
        (merged.unsound, "damaged archives, left out whole, since any of their rows may be wrong"),
        (merged.gaps, f"gaps that remain, see {ledger_of(out)}"),
    ):
        if count:
            lines.append(f"{text}: {count:,}")
    return "\n".join(lines) + "\n"


def _size(sources: Sequence[Recording]) -> int:
    return sum(part.stat().st_size for source in sources for part in source.parts)


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):  # a merge that is ended removes its temporary files, too
        if signal.getsignal(ending) is signal.SIG_DFL:  # not under nohup
            signal.signal(ending, signal.default_int_handler)
    sys.exit(main())
