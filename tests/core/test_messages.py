"""What the messages themselves know."""

import json

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import Conf, ConfFlags, Ping, Subscribe, Trade, TradesExecuted, Unsubscribe, read_row


class Trades(SynchronousTestCase):
    """A trade and its row."""

    def test_there_and_back_without_touching_a_digit(self) -> None:
        row = (b"310628134", b"1542045968922", b"-2.80e-7", b"6443.10")
        self.assertEqual(Trade.of(row).row, row)

    def test_the_smallest_trade_is_one(self) -> None:
        for row in ((b"1", b"1", b"1", b"1"), (b"1", b"1", b"-1e-18", b"0.00000001")):
            self.assertEqual(Trade.of(row).row, row)

    def test_what_came_together_came_when_the_last_one_did(self) -> None:
        trades = [Trade(number, 1542045968922, b"1", b"2") for number in (1, 2, 3)]
        run = TradesExecuted([8] * 3, [False] * 3, trades, [4, 5, 6], [1542045968930, 1542045968931, 1542045968935])
        self.assertEqual(run.timestamp, 1542045968935)

    def test_what_cannot_be_a_trade(self) -> None:
        for row in (
            (b"0", b"1", b"1", b"1"),
            (b"-1", b"1", b"1", b"1"),
            (b"1", b"0", b"1", b"1"),
            (b"1", b"1", b"0.0", b"1"),
            (b"1", b"1", b"1", b"0"),
            (b"1", b"1", b"1", b"-1"),
            (b"1.5", b"1", b"1", b"1"),
            (b"x", b"1", b"1", b"1"),
        ):
            with self.assertRaises(ValueError, msg=str(row)):
                Trade.of(row)
        with self.assertRaises(IndexError):
            Trade.of((b"1", b"1", b"1"))


class Rows(SynchronousTestCase):
    """A row of a book."""

    def test_further_fields_are_no_part_of_it(self) -> None:
        """The exchange has added fields elsewhere: in the document and the checksum there are three."""
        self.assertEqual(read_row((b"7e-7", b"2", b"-1.50", b"9")), (b"7e-7,2,-1.50", (7e-7, 2.0, -1.5)))

    def test_what_has_too_few(self) -> None:
        self.assertRaises(ValueError, read_row, (b"7e-7", b"2"))


class Requests(SynchronousTestCase):
    """The texts that a client sends, as the documents show them."""

    def test_texts(self) -> None:
        flags = ConfFlags.SEQ_ALL | ConfFlags.OB_CHECKSUM | ConfFlags.TIMESTAMP
        subscribe = '{"event":"subscribe","channel":"book","symbol":"tBTCUSD","len":"25"}'
        for request, text in (
            (Conf(flags), '{"event":"conf","flags":229376}'),
            (Subscribe("book", "tBTCUSD", {"len": "25"}), subscribe),
            (Unsubscribe(5262), '{"event":"unsubscribe","chanId":5262}'),
            (Ping(1), '{"event":"ping","cid":1}'),
            (Ping(None), '{"event":"ping"}'),
        ):
            self.assertEqual(json.loads(request.encode()), json.loads(text))
