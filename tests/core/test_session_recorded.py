"""A real session of 60,000 messages, through the whole conversation: the book token for token, and each trade."""

import gzip
import json

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from tests.core.conversation import TRADES, Conversation, Tape
from tests.recordings import recording

BOOK = Subscription(ChannelName.BOOK, "tBTCUSD", length=100)


class Recorded(SynchronousTestCase):
    """tBTCUSD on 2018-11-12. The recording has no sequence numbers, which are given to it here."""

    def test_the_book_and_the_trades(self) -> None:
        lines = gzip.decompress(recording("capture-2018-11-12-tBTCUSD.jsonl.gz")).decode().splitlines()
        talk, tape = Conversation([BOOK, TRADES]), Tape()
        talk.trades.listeners.append(tape)
        talk.ready()
        for line in lines[1:]:  # the first one is the greeting
            if line.startswith("["):
                talk.seq += 1
                talk.hear(f"{line[:-1]},{talk.seq},1542045947738]")
            else:
                talk.hear(line)
        talk.advance(3)
        book = talk.book.book
        self.assertIs(talk.book.state, FeedState.LIVE)
        self.assertEqual((talk.tally.stray_frames, book.unknown_deletes, talk.book.counts.crossed), (0, 0, 0))
        bids, asks = self.independent_book(lines)
        self.assertEqual([row[0].decode() for row in book.bids.rows], sorted(bids, key=float, reverse=True))
        self.assertEqual([row[0].decode() for row in book.asks.rows], sorted(asks, key=float))
        rows = {row[0].decode(): [token.decode() for token in row] for row in book.bids.rows + book.asks.rows}
        self.assertEqual(rows, bids | asks)
        self.assertEqual(self.ids(tape), self.independent_ids(lines))

    def ids(self, tape: Tape) -> set[int]:
        first = next(ids for kind, ids in tape.told if kind == "snapshot")
        return {*first, *(told for kind, told in tape.told if kind in ("te", "tu"))}

    def independent_book(self, lines: list[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Bids and asks by price, by json and dicts."""
        bids: dict[str, list[str]] = {}
        asks: dict[str, list[str]] = {}
        book_channel = None
        for line in lines:
            message = json.loads(line, parse_int=str, parse_float=str)
            if isinstance(message, dict):
                book_channel = message["chanId"] if message.get("channel") == "book" else book_channel
            elif message[0] == book_channel and isinstance(message[1], list):
                for row in message[1] if isinstance(message[1][0], list) else [message[1]]:
                    side = asks if row[2].startswith("-") else bids
                    if row[1] == "0":
                        del side[row[0]]
                    else:
                        side[row[0]] = row
        return bids, asks

    def independent_ids(self, lines: list[str]) -> set[int]:
        """Of te, tu and the snapshot."""
        ids: set[int] = set()
        trades_channel = None
        for line in lines:
            message = json.loads(line)
            if isinstance(message, dict):
                trades_channel = message["chanId"] if message.get("channel") == "trades" else trades_channel
            elif message[0] == trades_channel and message[1] != "hb":
                ids |= {row[0] for row in message[1]} if isinstance(message[1], list) else {message[2][0]}
        return ids
