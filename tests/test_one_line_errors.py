"""A mistake on a command line is one line, and the exit code that says whose it is."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar, cast

from twisted.python import usage
from twisted.scripts._twistd_unix import ServerOptions

from bfxtwist import __version__
from bfxtwist.one_line_errors import OneLineErrors, Refusal
from tests.command_line import CommandLineTest
from tests.running import ROOT


class OfTwistd(CommandLineTest):
    """As it is met."""

    def test_files_of_twistd_that_cannot_be_made(self) -> None:
        there = self.mktemp()
        Path(there).mkdir()
        words = ("bfx", "-p", "BTC/USD", "-c", "book")
        for own, text in (
            (["-n", "--pidfile=/nowhere/a.pid"], "--pidfile /nowhere/a.pid cannot be written: name another, or --pidfile="),
            (["-n", f"--pidfile={there}"], "cannot be written"),
            (["--pidfile=", "--logfile", "/nowhere/a.log"], "--logfile /nowhere/a.log cannot be written: name another"),
            (["-n", "--pidfile=", f"--logfile={there}"], "cannot be written"),
        ):
            self.assertIn(text, self.refused("", os.EX_CANTCREAT, *own, *words, command=ServerOptions))
        for log in ("-", "/dev/null", f"{there}/a.log"):
            ServerOptions().parseOptions(["-n", "--logfile", log, f"--pidfile={there}/a.pid", *words])

    def test_no_background_with_files_that_are_closed(self) -> None:
        """As `twistd bfx … <&-` has them: its reactor would lose its own file."""
        words = ("bfx", "-p", "BTC/USD", "-c", "book")
        for name in ("__stdin__", "__stdout__", "__stderr__"):
            patched = self.patch(sys, name, None)
            self.assertIn("</dev/null", self.refused("", os.EX_USAGE, "--pidfile=", *words, command=ServerOptions))
            ServerOptions().parseOptions(["-n", "--pidfile=", *words])
            patched.restore()

    def test_the_folder_in_which_it_was_started_is_gone(self) -> None:
        """As that of a shell is while a checkout is made anew."""
        there = Path(self.mktemp())
        there.mkdir()
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(there)
        Path.cwd().rmdir()
        book, trades = ["-c", "book"], ["-c", "trades", "-f", "data"]
        for code, own, channel, text in (
            (os.EX_CANTCREAT, ["-n"], book, "--pidfile twistd.pid cannot be written: name another"),
            (os.EX_CANTCREAT, ["--pidfile="], book, "--logfile twistd.log cannot be written: name another"),
            (os.EX_USAGE, ["-n", "--pidfile="], trades, "--file-path is within the folder of the start, which is gone"),
        ):
            words = [*own, "bfx", "-p", "BTC/USD", *channel]
            self.assertIn(text, self.refused("", code, *words, command=ServerOptions))

    def test_the_version_is_our_own(self) -> None:
        for command in ("bfx", "bfx-exchange"):
            words = [sys.executable, "-m", "twisted", command, "--version"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            said = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
            self.assertEqual(said, f"bfxtwist {__version__}\n")

    def test_the_help_has_one_usage_and_fits_every_terminal(self) -> None:
        for command in ("bfx", "bfx-exchange"):
            done = subprocess.run(
                [sys.executable, "-m", "twisted", command, "--help"],
                env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            self.assertEqual(done.stdout.count("Usage:"), 1, done.stdout)


class Small(OneLineErrors):
    """A command with one option, which nothing suits."""

    command = "small"
    optParameters: ClassVar[list[list[str | None]]] = [["size", None, "1", "How much."]]
    error: usage.UsageError = usage.UsageError("--size 1 is too little: use 2")

    def postOptions(self) -> None:
        raise self.error


class Lines(CommandLineTest):
    """`OneLineErrors`."""

    def test_a_mistake_is_told_in_its_own_words(self) -> None:
        """With no word on --help, which would not say more."""
        self.assertEqual(self.refused("", os.EX_USAGE, command=Small), "small: --size 1 is too little: use 2")

    def test_what_is_no_option_leads_to_the_help(self) -> None:
        for line in ("--sizes 5", "--size"):
            self.assertTrue(self.refused(line, os.EX_USAGE, command=Small).endswith(": see twistd small --help"), line)

    def test_a_refusal_has_its_own_code(self) -> None:
        self.patch(Small, "error", Refusal("the disk is full: make room", os.EX_IOERR))
        self.assertEqual(self.refused("", os.EX_IOERR, command=Small), "small: the disk is full: make room")

    def test_other_errors_are_bugs_and_no_lines(self) -> None:
        self.patch(Small, "error", ZeroDivisionError())
        self.assertRaises(ZeroDivisionError, Small().parseOptions, [])


class FilesOfTwistd(CommandLineTest):
    """What twistd would tell by a traceback, after the daemon has begun."""

    def setUp(self) -> None:
        self.patch(Small, "postOptions", lambda own: None)

    def small(self, **twistd: Any) -> Small:
        options: Any = Small()
        options.parent = twistd
        return cast(Small, options)

    def test_in_the_background_there_is_a_log_by_default(self) -> None:
        folder = Path(self.mktemp())
        for in_the_way in ("twistd.log", "-"):
            (folder / in_the_way).mkdir(parents=True)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder)
        line = self.refused("", os.EX_CANTCREAT, command=lambda: self.small(nodaemon=False, logfile=None))
        self.assertEqual(line, "small: --logfile twistd.log cannot be written: name another")
        for more in ({"nodaemon": True}, {"syslog": True}, {"logfile": "-"}):
            self.small(**{"nodaemon": False, "logfile": None, **more}).parseOptions([])
        self.small(reactor="default").parseOptions([])  # twist has no such options

    def test_without_twistd_there_are_none(self) -> None:
        Small().parseOptions([])
