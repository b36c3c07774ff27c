"""Recordings, read."""

import gzip
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import BookUpdate, ChannelName, Checksum
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.recording import read_recording
from tests.recordings import recording_path

TEXT = b"""{"event":"info","version":2}
{"event":"subscribed","channel":"book","chanId":7,"symbol":"tBTCUSD","prec":"R0","freq":"F0","len":"100"}
[7,[[1,10,1],[2,11,-1]],1]

[7,"hb",2]
[7,[1,0,1],3]
[7,"cs",5,4]
"""
BOOK = Subscription(ChannelName.BOOK, "tBTCUSD", "R0", "F0", 100)


class RecordingTest(SynchronousTestCase):
    """Plain and gzipped."""

    def written(self, data: bytes) -> Path:
        """A file of these bytes."""
        path = Path(self.mktemp())
        path.write_bytes(data)
        return path

    def test_what_is_in_it(self) -> None:
        for data in (TEXT, gzip.compress(TEXT)):
            recording = read_recording(self.written(data))
            self.assertEqual(recording.first, {BOOK: [(b"1", b"10", b"1"), (b"2", b"11", b"-1")]})
            (_, update), last = recording.messages
            assert isinstance(update, BookUpdate)
            self.assertEqual(update.row, (b"1", b"0", b"1"))
            self.assertEqual(last, (BOOK, Checksum(7, 5, 4, None)))
            self.assertEqual(recording.has_checksums, {BOOK})

    def test_what_is_not_played_is_passed_over(self) -> None:
        others = b"""{"event":"subscribed","channel":"ticker","chanId":1,"symbol":"tBTCUSD","pair":"BTCUSD"}
{"event":"subscribed","channel":"candles","chanId":2,"key":"trade:1m:tBTCUSD"}
{"event":"subscribed","channel":"trades","chanId":3,"symbol":"fUSD","currency":"USD"}
{"event":"subscribed","channel":"book","chanId":4,"symbol":"fUSD","prec":"P0","freq":"F0","len":"25","currency":"USD"}
[1,[10,1,11,2,0.1,0.01,10,99,12,9,null]]
[2,[[1542045900000,10,11,12,9,5],[1542045840000,10,11,12,9,5]]]
[2,[1542045960000,10,11,12,9,5]]
[3,[[1,1542045947738,100,0.0002,2]]]
[3,"fte",[2,1542045947739,100,0.0002,2]]
[4,[[0.0002,2,1,100],[0.0003,30,2,-50]]]
[4,[0.0002,2,0,1]]
"""
        mixed, alone = (read_recording(self.written(data)) for data in (others + TEXT, TEXT))
        self.assertEqual((mixed.first, mixed.messages), (alone.first, alone.messages))

    def test_two_of_the_same_cannot_be_one(self) -> None:
        one = read_recording(self.written(TEXT))
        with self.assertRaisesRegex(ValueError, "two recordings are of BTC/USD book"):
            one.add(read_recording(self.written(TEXT)))

    def test_what_is_no_recording(self) -> None:
        for data, why in (
            (b"hello", "line 1"),
            (b"[7,[1,2,3]]", "line 1: channel 7 was never subscribed"),
            (b"", "no snapshot"),
            (gzip.compress(TEXT)[:-9], "damaged"),
        ):
            with self.assertRaisesRegex((ValueError, OSError), why):
                read_recording(self.written(data))

    def test_the_real_capture(self) -> None:
        recording = read_recording(recording_path("capture-2018-11-12-tBTCUSD.jsonl.gz"))
        self.assertEqual({str(subscription) for subscription in recording.first}, {"BTC/USD book", "BTC/USD trades"})
        self.assertGreater(len(recording.messages), 59_000)
