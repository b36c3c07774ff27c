"""A mistake is found at start, in one line that names the fix."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.market import Subscription
from bfxtwist.core.messages import ChannelName
from bfxtwist.settings import LISTEN, REST_URL, WS_URL, settings


class Mistakes(SynchronousTestCase):
    def refused(self, **changes: object) -> str:
        good: dict[str, object] = {"pairs": ["BTC/USD"], "channels": ["book"]}
        settings(**good)  # type: ignore[arg-type]
        error = self.assertRaises(ValueError, settings, **{**good, **changes})
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_each_names_its_fix(self) -> None:
        for changes, fix in (
            ({"pairs": []}, "add --pair BTC/USD"),
            ({"pairs": ["BTC"]}, "write it like BTC/USD"),
            ({"channels": []}, "add --channel book"),
            ({"channels": ["bok"]}, "did you mean book?"),
            ({"channels": ["ticker"]}, "use one of book, trades"),
            ({"channels": ["trades"]}, "add --file-path"),
            ({"precision": "P5"}, "use one of P0, P1, P2, P3, P4, R0"),
            ({"precision": "r0"}, "did you mean R0?"),
            ({"frequency": "F2"}, "use one of F0, F1"),
            ({"length": "26"}, "use one of 1, 25, 100, 250"),
            ({"sync": "2s"}, "use one of always, 1s, no"),
            ({"ws_url": "https://example.org"}, "write it like wss://"),
            ({"ws_url": "ws://:80/"}, "write it like wss://"),
            ({"ws_url": "ws://host:99999/"}, "write it like wss://"),
            ({"rest_url": "example.org/v2"}, "write it like https://"),
            ({"demo": True, "ws_url": "ws://127.0.0.1:9/ws/2"}, "leave out --ws-url"),
            ({"ca_file": "/nowhere/ca.pem"}, "name a file that can"),
            ({"token_file": "/nowhere/token"}, "name a file that can"),
        ):
            self.assertIn(fix, self.refused(**changes), changes)


class WhatIsSubscribed(SynchronousTestCase):
    def test_every_pair_gets_every_channel_once(self) -> None:
        pairs, channels = ["BTC/USD", "tETHUSD", "BTCUSD"], ["book", "trades", "book"]
        chosen = settings(pairs=pairs, channels=channels, file_path="d", length="100")
        self.assertEqual(
            list(chosen.subscriptions()),
            [
                Subscription(ChannelName.BOOK, "tBTCUSD", "P0", "F0", 100),
                Subscription(ChannelName.BOOK, "tETHUSD", "P0", "F0", 100),
                Subscription(ChannelName.TRADES, "tBTCUSD"),
                Subscription(ChannelName.TRADES, "tETHUSD"),
            ],
        )

    def test_one_recorded_pair_has_the_folder_to_itself(self) -> None:
        one = settings(pairs=["BTC/USD"], channels=["trades"], file_path="d")
        self.assertEqual(one.trade_folder(one.pairs[0]), Path("d"))
        two = settings(pairs=["BTC/USD", "BTC/USDT"], channels=["trades"], file_path="d")
        self.assertEqual([two.trade_folder(pair) for pair in two.pairs], [Path("d/BTC-USD"), Path("d/BTC-USDT")])

    def test_the_defaults_are_the_exchange_and_loopback(self) -> None:
        chosen = settings(pairs=["BTC/USD"], channels=["book"])
        self.assertEqual((chosen.ws_url, chosen.rest_url, chosen.listen), (WS_URL, REST_URL, (LISTEN,)))
        self.assertIn("127.0.0.1", LISTEN)
