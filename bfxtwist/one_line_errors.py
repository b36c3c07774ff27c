"""Options whose mistakes end the program with one line and sysexits' EX_USAGE, not with a screen of help."""

import os
import sys
from collections.abc import Sequence

from twisted.python import usage


class OneLineErrors(usage.Options):
    """`command` is what twistd calls the program."""

    command = ""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            hint = f": see twistd {self.command} --help" if "recognized" in str(error) or "requires" in str(error) else ""
            sys.stderr.write(f"{self.command}: {error}{hint}\n")
            raise SystemExit(os.EX_USAGE) from None
