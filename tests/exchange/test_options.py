"""What the command line of `bfx-exchange` takes, and what it says of what it cannot."""

import io
import sys
from pathlib import Path
from socket import socket

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from bfxtwist.cannot_listen import CannotListen
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.faults import BY_NAME
from bfxtwist.exchange.ledger import read_ledger
from bfxtwist.exchange.options import Options, makeService
from bfxtwist.exchange.replay import ReplayMarket
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.recordings import recording_path


def parsed(*arguments: str) -> Options:
    """The options."""
    options = Options()
    options.parseOptions(list(arguments))
    return options


class OptionsTest(TestCase):
    """Checked before anything starts."""

    def test_without_any(self) -> None:
        options = parsed()
        assert isinstance(options.market, SimulatedMarket)
        self.assertEqual(options.market.symbols, ["tBTCUSD"])
        self.assertIsInstance(options.endpoint, TCP4ServerEndpoint)
        self.assertEqual(options.limits, (30, 20, 15, 60.0, 15.0))

    def test_a_simulated_market(self) -> None:
        ledger = self.mktemp()
        options = parsed(
            "--pair", "BTC/USD,tDOGE:USD", "-p", "BTC/USDT", "--rate", "2.5", "--fault", "late-ack=3", "--fault", "quiet",
            "--ledger", ledger, "--channel-limit", "25", "--unlimited",
        )  # fmt: skip
        assert isinstance(options.market, SimulatedMarket)
        self.assertEqual(options.market.symbols, ["tBTCUSD", "tDOGE:USD", "tBTCUST"])
        self.assertEqual((options.market.rate, options.market.faults.number("late-ack")), (2.5, 3))
        self.assertIn("quiet", options.market.faults)
        options.market.advance(1_800_000_000.0)
        self.assertEqual(list(options.market.ledger), [])
        self.assertEqual(options.limits[:3], (25, None, None))
        options.market.stop()
        self.assertGreater(len(read_ledger(Path(ledger))["tBTCUSD"]), 30)

    def test_a_replayed_one(self) -> None:
        names = ["cs-tVETBTC.jsonl", "cs-tXRPBTC.jsonl"]
        options = parsed(*(argument for name in names for argument in ("--replay", str(recording_path(name)))))
        assert isinstance(options.market, ReplayMarket)
        self.assertEqual(options.market.symbols, ["tVETBTC", "tXRPBTC"])

    def test_the_service(self) -> None:
        self.assertIsInstance(makeService(parsed()), EmbeddedExchange)

    def test_a_port_in_use_is_one_line(self) -> None:
        with socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            service = makeService(parsed("--listen", f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"))
            with self.assertRaisesRegex(CannotListen, "in use.*choose another --listen"):
                service.privilegedStartService()

    def test_it_says_where_it_is(self) -> None:
        service = makeService(parsed("--listen", "tcp:0:interface=127.0.0.1"))
        with capturedLogs() as logged:
            service.privilegedStartService()
            service.startService()
        self.addCleanup(service.stopService)
        told = [event for event in logged if "ws" in event]
        self.assertEqual(
            [(event["ws"], event["rest"]) for event in told], [(service.ws_url, service.rest_url)]
        )
        self.assertEqual(told[0]["faults"], f"http://127.0.0.1:{service.port}/faults")

    def test_no_port_at_all_is_one_line(self) -> None:
        with self.assertRaisesRegex(CannotListen, "choose another --listen"):
            makeService(parsed("--listen", "tcp:99999999:interface=127.0.0.1")).privilegedStartService()

    def test_mistakes_are_one_line_that_names_the_fix(self) -> None:
        cases = [
            (["--fault", "lateack"], "did you mean late-ack"),
            (["--fault", "late-ack=x"], "a number is needed"),
            (["--pair", "BTC"], "write it like BTC/USD"),
            (["--listen", "foo:1"], "an example is tcp:9999"),
            (["--rate", "0"], "--rate 0: the number must be 0.001 or more"),
            (["--rate", "1e4"], "--rate 1e4: the number must be 0.001 to 1000"),
            (["--speed", "100"], "--speed goes with --replay: for a faster market write --rate"),
            (["ETH/USD"], "write --pair ETH/USD"),
            (["--seed", "2.5"], "--seed 2.5: a whole number is needed"),
            (["--rate", "x"], "--rate x: a number is needed"),
            (["--replay", "/nope"], "there is no such file"),
            (["--replay", __file__], "line 1"),
            (["--pair", "BTC/USD", "--replay", "x"], "leave out --pair"),
            (["--ledger", f"{self.mktemp()}/nope"], "No such file"),
            (["--nonsense"], "--help"),
        ]
        for arguments, text in cases:
            error = io.StringIO()
            self.patch(sys, "stderr", error)
            with self.assertRaises(SystemExit):
                parsed(*arguments)
            self.assertIn(text, error.getvalue())
            self.assertEqual(error.getvalue().count("\n"), 1, error.getvalue())

    def test_help_lists_every_fault(self) -> None:
        text = str(Options())
        for name in BY_NAME:
            self.assertIn(f"  {name}", text)
