"""The command line gathers what was said, in every spelling that is documented."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.options import Options
from bfxtwist.settings import Settings, feed, settings
from tests.running import ROOT

LOOPBACK = "tcp:0:interface=127.0.0.1"


class CommandLine(SynchronousTestCase):
    def parsed(self, line: str) -> Settings:
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

    def test_short_and_long_words_mean_the_same(self) -> None:
        short = self.parsed(f"-p BTC/USD -p ETHUSD -c book -c trades -f data/ -l {LOOPBACK}")
        for line in (
            f"--pair BTC/USD,ETH/USD --channel book,trades --file-path data/ --listen {LOOPBACK}",
            f"--pair=tBTCUSD --pair=tETHUSD --channel=book --channel=trades --file_path=data/ --listen={LOOPBACK}",
            f"--pair BTC/USD, --pair eth-usd --channel book --channel trades --file_path data/ --listen {LOOPBACK}",
        ):
            self.assertEqual(self.parsed(line), short)

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

    def test_every_option_arrives(self) -> None:
        self.assertEqual(
            self.parsed(
                "-p BTC/USD -c book --precision R0 --frequency F1 --length 100 --ws-url ws://127.0.0.1:9/ws/2 "
                "--rest-url http://127.0.0.1:9/v2/ --sync always --strict-disk --lock-folder locks --allow-remote "
                "--allow-host bfx.example --allow-origin https://a.example --allow-origin https://b.example "
                "--log-format json --rotate 100MB --rotate-compress none"
            ),
            settings(
                feeds=[feed(pair="BTC/USD", channel="book", precision="R0", frequency="F1", length=100)],
                ws_url="ws://127.0.0.1:9/ws/2",
                rest_url="http://127.0.0.1:9/v2",
                sync="always",
                strict_disk=True,
                lock_folder="locks",
                allow_remote=True,
                allow_hosts=["bfx.example"],
                allow_origins=["https://a.example", "https://b.example"],
                log_format="json",
                rotate="100MB",
                rotate_compress="none",
            ),
        )
        self.assertEqual(self.parsed("-p BTC/USD -c trades -f d --demo").feeds[0].folder, Path("d"))

    def test_a_mistake_is_one_line_and_exit_code_64(self) -> None:
        self.assertIn("add --pair", self.refused("-c book"))
        self.assertIn("add --channel book", self.refused("-p BTC/USD"))
        self.assertIn("add --file-path", self.refused("-p BTC/USD -c trades"))
        self.assertIn("write --pair BTC/USD", self.refused("BTC/USD -c book"))
        self.assertIn("use one of text, json", self.refused("-p BTC/USD -c book --log-format xml"))
        self.assertIn("use daily, a size like 100MB, or no", self.refused("-p BTC/USD -c book --rotate weekly"))
        self.assertIn("see twistd bfx --help", self.refused("--pairs"))
        self.assertIn("see twistd bfx --help", self.refused("-p"))

    def test_an_empty_value_is_a_mistake(self) -> None:
        for option in ("pair", "channel", "config", "token-file", "ca-file", "file-path", "listen", "allow-host", "length"):
            self.assertIn(f"--{option} is empty", self.refused("", os.EX_USAGE, f"--{option}", ""))

    def test_what_this_machine_does_not_give_is_found_before_the_start(self) -> None:
        self.assertIn("--allow-remote", self.refused("-p BTC/USD -c book -l tcp:8080"))
        self.assertIn("write it like tcp:8080", self.refused("-p BTC/USD -c book -l tpc:8080"))
        self.assertIn("write it like tcp:8080", self.refused("-p BTC/USD -c book -l tcp:http:interface=127.0.0.1"))
        self.assertIn("end at 65535", self.refused("-p BTC/USD -c book -l tcp:80800:interface=127.0.0.1"))
        self.assertIn("systemd", self.refused("-p BTC/USD -c book -l systemd:domain=INET:index=0"))
        self.assertIn("systemd", self.refused("-p BTC/USD -c book -l systemd:domain=INET:name=http"))
        self.assertIn("privateKey=", self.refused("-p BTC/USD -c book -l ssl:8443:privateKey=/nowhere"))
        Path("no.pem").touch()
        self.assertIn("must be PEM", self.refused("-p BTC/USD -c book -l ssl:8443:privateKey=no.pem"))
        authority = trustme.CA()
        authority.issue_cert("localhost").private_key_pem.write_to_path("key.pem")
        authority.cert_pem.write_to_path("another.pem")
        strange = self.refused("-p BTC/USD -c book -l ssl:8443:privateKey=key.pem:certKey=another.pem")
        self.assertIn("do not belong together", strange)
        self.assertIn("is no endpoint", self.refused("-p BTC/USD -c book -l ssl:8443:sslmethod=no"))
        for colons in ("tcp6:8080:interface=::1", "tcp6:8080:interface=[::1]"):
            self.assertIn(r"interface=\:\:1", self.refused(f"-p BTC/USD -c book -l {colons}"))
        Path("bad.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
        self.assertIn("bad.pem holds what is no", self.refused("-p BTC/USD -c book --ca-file bad.pem"))
        Path("in-the-way").touch()
        self.assertIn("--file-path", self.refused("-p BTC/USD -c trades -f in-the-way", os.EX_CANTCREAT))
        self.assertIn("--lock-folder", self.refused("-p BTC/USD -c book --lock-folder in-the-way"))
        Path("locks/connects-exchange.test.lock").mkdir(parents=True)
        where = "--ws-url wss://exchange.test/ws/2 --lock-folder locks"
        self.assertIn("--lock-folder", self.refused(f"-p BTC/USD -c book {where}"))
        self.assertIn("not an origin", self.refused("-p BTC/USD -c book --allow-origin example.org"))

    def test_the_help_names_every_option(self) -> None:
        text = str(Options())
        for word in ("-p, --pair=", "-c, --channel=", "-f, --file-path=", "-l, --listen=", "--precision=", "--demo"):
            self.assertIn(word, text)
        self.assertIn("[default: tcp:8080:interface=127.0.0.1]", text)

    def test_the_help_has_one_usage_and_fits_every_terminal(self) -> None:
        for command in ("bfx", "bfx-exchange"):
            done = subprocess.run(
                [sys.executable, "-m", "twisted", command, "--help"],
                env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            self.assertEqual(done.stdout.count("Usage:"), 1, done.stdout)

    def test_the_settings_are_printed_with_a_mistake_in_them_too(self) -> None:
        stdout = io.StringIO()
        self.patch(sys, "stdout", stdout)
        self.assertIn("unknown length", self.refused("-p BTC/USD -c book --length 26 --print-config"))
        self.assertRegex(stdout.getvalue(), 'length = "26" +# --length')

    def test_a_variable_names_the_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text('[[feed]]\npair = "BTC/USD"\nchannel = "book"\n')
        options = Options({"BFXTWIST_CONFIG": str(path)})
        options.parseOptions([])
        self.assertEqual((options.file, options.settings.feeds), (str(path), (feed(pair="BTC/USD", channel="book"),)))
