"""What the messages themselves know."""

import json

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import Conf, ConfFlags, Ping, Subscribe, Trade, Unsubscribe


class Trades(SynchronousTestCase):
    """A trade and its row."""

    def test_there_and_back_without_touching_a_digit(self) -> None:
        row = (b"310628134", b"1542045968922", b"-2.80e-7", b"6443.10")
        self.assertEqual(Trade.of(row).row, row)

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
