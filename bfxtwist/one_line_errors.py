"""Options whose mistakes end the program with one line and a code of sysexits, not with a screen of help."""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.python import usage

from bfxtwist import __version__


class Refusal(usage.UsageError):
    """What was asked for is understood, and cannot be had on this machine."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class OneLineErrors(usage.Options):
    """`command` is what twistd calls the program. A UsageError ends it with EX_USAGE, a Refusal with its own code."""

    command = ""

    def opt_version(self) -> None:
        """Print the version and exit."""
        sys.stdout.write(f"bfxtwist {__version__}\n")
        raise SystemExit(0)

    def parseArgs(self, *words: str) -> None:
        if words:
            raise usage.UsageError(f"{words[0]!r} is no option: write --pair {words[0]} for a pair")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # help and log have letters that not every terminal's encoding has
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            super().parseOptions(options)
            _check_files(self.parent or {})
        except usage.UsageError as error:
            hint = f": see twistd {self.command} --help" if "recognized" in str(error) or "requires" in str(error) else ""
            if sys.stderr is not None:  # it may be closed
                sys.stderr.write(f"{self.command}: {error}{hint}\n")
            raise SystemExit(error.exit_code if isinstance(error, Refusal) else os.EX_USAGE) from None


def _check_files(twistd: Mapping[str, Any]) -> None:
    """Of files that cannot be made, or are closed, twistd tells by a traceback. Raises Refusal, with the fix."""
    # In the background it puts /dev/null in their place, where the reactor's own files are then.
    if not twistd.get("nodaemon", True) and None in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        raise Refusal("the background needs standard input, output and error: not <&- but </dev/null, or -n", os.EX_USAGE)
    pid = twistd.get("pidfile")
    if not _can_be_written(pid):
        raise Refusal(f"--pidfile {pid} cannot be written: name another, or --pidfile= for none", os.EX_CANTCREAT)
    log = twistd.get("logfile") or ("" if twistd.get("nodaemon", True) else "twistd.log")
    if log != "-" and not twistd.get("syslog") and not _can_be_written(log):
        raise Refusal(f"--logfile {log} cannot be written: name another", os.EX_CANTCREAT)


def _can_be_written(name: str | None) -> bool:
    if not name:
        return True
    try:
        there = name if os.path.exists(name) else os.path.dirname(os.path.abspath(name))
    except FileNotFoundError:  # the folder in which twistd was started has been removed
        return False
    return os.access(there, os.W_OK) and not os.path.isdir(name)
