"""The command line, parsed without a process of its own."""

import io
import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.options import Options
from bfxtwist.settings import Settings


class CommandLineTest(SynchronousTestCase):
    """Gives words to the command line."""

    def parsed(self, line: str) -> Settings:
        """What is meant by it."""
        options = Options()
        options.parseOptions(line.split())
        return options.settings

    def refused(self, line: str, code: int = os.EX_USAGE, *words: str, command: Callable[[], Any] = Options) -> str:
        """The one line on standard error."""
        stderr = io.StringIO()
        self.patch(sys, "stderr", stderr)
        error = self.assertRaises(SystemExit, command().parseOptions, [*line.split(), *words])
        self.assertEqual(error.code, code)
        [text, rest] = stderr.getvalue().split("\n")
        self.assertEqual(rest, "")
        return text
