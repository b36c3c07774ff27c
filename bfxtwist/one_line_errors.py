"""Options whose mistakes end the program with one line and a code of sysexits, not with a screen of help."""

import io
import os
import sys
from collections.abc import Sequence

from twisted.python import usage


class Refusal(usage.UsageError):
    """What was asked for is understood, and cannot be had on this machine."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class OneLineErrors(usage.Options):
    """`command` is what twistd calls the program. A UsageError ends it with EX_USAGE, a Refusal with its own code."""

    command = ""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # help and log have letters that not every terminal's encoding has
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            hint = f": see twistd {self.command} --help" if "recognized" in str(error) or "requires" in str(error) else ""
            sys.stderr.write(f"{self.command}: {error}{hint}\n")
            raise SystemExit(error.exit_code if isinstance(error, Refusal) else os.EX_USAGE) from None
