"""The command line gathers what was said, in every spelling that is documented."""

import io
import os
import sys
from pathlib import Path

from bfxtwist.options import Options
from bfxtwist.settings import feed, settings
from tests.command_line import CommandLineTest

LOOPBACK = "tcp:0:interface=127.0.0.1"


class CommandLine(CommandLineTest):
    def test_short_and_long_words_mean_the_same(self) -> None:
        short = self.parsed(f"-p BTC/USD -p ETHUSD -c book -c trades -f data/ -l {LOOPBACK}")
        for line in (
            f"--pair BTC/USD,ETH/USD --channel book,trades --file-path data/ --listen {LOOPBACK}",
            f"--pair=tBTCUSD --pair=tETHUSD --channel=book --channel=trades --file_path=data/ --listen={LOOPBACK}",
            f"--pair BTC/USD, --pair eth-usd --channel book --channel trades --file_path data/ --listen {LOOPBACK}",
        ):
            self.assertEqual(self.parsed(line), short)

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

    def test_the_help_names_every_option(self) -> None:
        text = str(Options())
        for word in ("-p, --pair=", "-c, --channel=", "-f, --file-path=", "-l, --listen=", "--precision=", "--demo"):
            self.assertIn(word, text)
        self.assertIn("[default: tcp:8080:interface=127.0.0.1]", text)

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

    def test_the_file_at_home(self) -> None:
        """No shell has seen the `~` of a variable, nor that of `--config=~/bfx.toml`."""
        home = Path(self.mktemp())
        home.mkdir()
        (home / "bfx.toml").write_text('[[feed]]\npair = "BTC/USD"\nchannel = "book"\n')
        self.patch(os, "environ", {**os.environ, "HOME": str(home)})
        wanted = (feed(pair="BTC/USD", channel="book"),)
        options = Options({"BFXTWIST_CONFIG": "~/bfx.toml"})
        options.parseOptions([])
        self.assertEqual(options.settings.feeds, wanted)
        self.assertEqual(self.parsed("--config=~/bfx.toml").feeds, wanted)
        self.assertIn("--config", self.refused("--config=~nobody-of-this-name/bfx.toml"))
