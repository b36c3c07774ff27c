"""A mistake is found at start, in one line that names the fix."""

import os
from pathlib import Path
from typing import get_type_hints

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from bfxtwist.settings import LISTEN, REST_URL, WS_URL, MoreSettings, Rotate, feed, settings


class Mistakes(SynchronousTestCase):
    def test_in_a_feed(self) -> None:
        for changes, fix in (
            ({"pair": "BTC"}, "write it like BTC/USD"),
            ({"channel": "bok"}, "did you mean book?"),
            ({"channel": "ticker"}, "use one of book, trades"),
            ({"channel": "trades"}, "add --file-path"),
            ({"precision": "P5"}, "use one of P0, P1, P2, P3, P4, R0"),
            ({"precision": "r0"}, "did you mean R0?"),
            ({"frequency": "F2"}, "use one of F0, F1"),
            ({"length": "26"}, "use one of 1, 25, 100, 250"),
            ({"pair": None}, "write it like 'BTC/USD'"),
            ({"channel": ["book"]}, "use one of book, trades"),
            ({"precision": 0}, "use one of P0, P1, P2, P3, P4, R0"),
            ({"channel": "trades", "file_path": b"data"}, "write it like 'data/'"),
            ({"channel": "trades", "file_path": 7}, "write it like 'data/'"),
            ({"channel": "trades", "file_path": "da\0ta"}, "write it like 'data/'"),
            ({"channel": "trades", "file_path": "~nobody-of-this-name/data"}, "write it like 'data/'"),
        ):
            error = self.assertRaises(ValueError, feed, **{"pair": "BTC/USD", "channel": "book", **changes})
            self.assertIn(fix, str(error))
            self.assertNotIn("\n", str(error))

    def test_one_name_where_several_may_stand(self) -> None:
        chosen = settings(feeds=[feed(pair="BTC/USD", channel="book")], allow_hosts="a.example", allow_origins="https://b.example")
        self.assertEqual((chosen.allow_hosts, chosen.allow_origins), (("a.example",), ("https://b.example",)))

    def test_home(self) -> None:
        """As in a shell, which does not see a `~` in `--file-path=~/data`, in TOML and in Python."""
        self.patch(os, "environ", {**os.environ, "HOME": "/home/me"})
        self.assertEqual(feed(pair="BTC/USD", channel="trades", file_path="~/data").folder, Path("/home/me/data"))
        chosen = settings(feeds=[feed(pair="BTC/USD", channel="book")], lock_folder="~/locks")
        self.assertEqual(chosen.lock_folder, Path("/home/me/locks"))

    def test_in_the_rest(self) -> None:
        for changes, fix in (
            ({"feeds": []}, "add --pair BTC/USD"),
            ({"sync": "2s"}, "use one of always, 1s, no"),
            ({"rotate": "hourly"}, "use daily, a size like 100MB, or no"),
            ({"rotate": "0MB"}, "use daily, a size like 100MB, or no"),
            ({"rotate": "5"}, "use daily, a size like 100MB, or no"),
            ({"rotate_compress": "bz2"}, "use one of gz, zst, none"),
            ({"ws_url": "https://example.org"}, "write it like wss://"),
            ({"ws_url": "ws://:80/"}, "write it like wss://"),
            ({"ws_url": "ws://host:99999/"}, "write it like wss://"),
            ({"ws_url": "wss://ex_change/ws/2"}, "write it like wss://"),
            ({"ws_url": "ws://a..b/ws/2"}, "write it like wss://"),
            ({"ws_url": "ws://host/ws /2"}, "write it like wss://"),
            ({"ws_url": "ws://host/ws/2#books"}, "write it like wss://"),
            ({"ws_url": None}, "write it like wss://"),
            ({"listen": 8080}, "write it like 'tcp:8080"),
            ({"listen": [8080]}, "write it like 'tcp:8080"),
            ({"rotate": 5}, "use daily, a size like 100MB, or no"),
            ({"rest_url": "example.org/v2"}, "write it like https://"),
            ({"rest_url": "http://[::1]:8080/v2"}, "give it a name"),
            ({"demo": True, "ws_url": "ws://127.0.0.1:9/ws/2"}, "leave out --ws-url"),
            ({"ca_file": "/nowhere/ca.pem"}, "name a file that can"),
            ({"token_file": "/nowhere/token"}, "name a file that can"),
        ):
            good = {"feeds": [feed(pair="BTC/USD", channel="book")]}
            error = self.assertRaises(ValueError, settings, **{**good, **changes})
            self.assertIn(fix, str(error))
            self.assertNotIn("\n", str(error))

    def test_two_different_books_of_one_pair(self) -> None:
        feeds = [feed(pair="BTC/USD", channel="book"), feed(pair="tBTCUSD", channel="book", length=100)]
        self.assertIn("keep one of them", str(self.assertRaises(ValueError, settings, feeds=feeds)))


class WhatIsSubscribed(SynchronousTestCase):
    def test_each_feed_once(self) -> None:
        chosen = settings(
            feeds=[
                feed(pair="BTC/USD", channel="book", length="100"),
                feed(pair="tBTCUSD", channel="book", length=100),
                feed(pair="ETH/USD", channel="trades", file_path="d", length=100),
            ]
        )
        self.assertEqual(
            [feed.subscription for feed in chosen.feeds],
            [Subscription(ChannelName.BOOK, "tBTCUSD", "P0", "F0", 100), Subscription(ChannelName.TRADES, "tETHUSD")],
        )
        self.assertEqual([pair.name for pair in chosen.pairs], ["BTC/USD", "ETH/USD"])

    def test_a_recorded_pair_has_its_folder_to_itself(self) -> None:
        one, two, elsewhere = (
            feed(pair=pair, channel="trades", file_path=path)
            for pair, path in (("BTC/USD", "d"), ("BTC/USDT", "d"), ("ETH/USD", "e"))
        )
        self.assertEqual([f.folder for f in settings(feeds=[one, elsewhere]).feeds], [Path("d"), Path("e")])
        shared = settings(feeds=[one, two, elsewhere]).feeds
        self.assertEqual([f.folder for f in shared], [Path("d/BTC-USD"), Path("d/BTC-USDT"), Path("e")])
        again = feed(pair="ETH/USD", channel="trades", file_path=Path("d").absolute())
        both = settings(feeds=[one, again]).feeds
        self.assertEqual([f.folder for f in both], [Path("d/BTC-USD"), Path("d").absolute() / "ETH-USD"])

    def test_the_defaults_are_the_exchange_and_loopback(self) -> None:
        chosen = settings(feeds=[feed(pair="BTC/USD", channel="book")])
        self.assertEqual((chosen.ws_url, chosen.rest_url, chosen.listen), (WS_URL, REST_URL, (LISTEN,)))
        self.assertIn("127.0.0.1", LISTEN)

    def test_run_and_service_hand_on_all_but_feeds_and_addresses(self) -> None:
        """What is missing there is an error to whoever checks types, and no suggestion to whoever writes."""
        hints = get_type_hints(settings)
        for name in ("return", "feeds", "listen", "ws_url", "rest_url"):
            del hints[name]
        self.assertEqual(get_type_hints(MoreSettings), hints)

    def test_rotation(self) -> None:
        book = [feed(pair="BTC/USD", channel="book")]
        for said, meant in (
            ("no", None),
            ("daily", Rotate(None, "gz")),
            ("100MB", Rotate(100_000_000, "gz")),
            ("64 kb", Rotate(64_000, "gz")),
            ("2GB", Rotate(2_000_000_000, "gz")),
        ):
            self.assertEqual(settings(feeds=book, rotate=said).rotate, meant)
        self.assertIsNone(settings(feeds=book).rotate)
