"""Folders for trade files, made and tried."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.trade_rows import HEADER
from bfxtwist.out.trade_errors import CannotCreate
from bfxtwist.out.trade_folder import check_folder, left_behind

_ROW = b"bitfinex,BTCUSD,1542045947738000,1542045947801234,310628121,buy,6443.1,0.00265425\n"


class FolderTests(SynchronousTestCase):
    """`check_folder` on a real disk."""

    def test_check_folder(self) -> None:
        """Made if it is missing, tried if it is there."""
        folder = os.path.join(self.mktemp(), "a", "b")
        check_folder(folder)
        check_folder(folder)
        self.assertEqual((os.listdir(folder), os.stat(folder).st_mode & 0o777), ([], 0o750))
        with open(os.path.join(folder, "file"), "w"):
            pass
        for wrong in ("file", "file/below"):
            error = self.assertRaises(CannotCreate, check_folder, os.path.join(folder, wrong))
            self.assertEqual(error.exit_code, 73)


class LeftBehind(SynchronousTestCase):
    """`left_behind`: a pair was added, or one was taken away, and the folders are others."""

    def setUp(self) -> None:
        self.alone = Path(self.mktemp())
        self.among_others = self.alone / "BTC-USD"
        self.among_others.mkdir(parents=True)

    def test_a_recording_of_the_same_pair(self) -> None:
        for before, now in ((self.alone, self.among_others), (self.among_others, self.alone)):
            file = before / "trade.csv"
            file.write_bytes(HEADER + _ROW)
            self.assertEqual(left_behind(now, "tBTCUSD"), file)
            self.assertIsNone(left_behind(now, "tETHUSD"))
            self.assertIsNone(left_behind(before, "tBTCUSD"), "it is continued")
            file.unlink()

    def test_nothing_to_be_continued(self) -> None:
        self.assertIsNone(left_behind(self.among_others, "tBTCUSD"))
        for content in (b"", HEADER, HEADER + _ROW.replace(b"BTC", b"ETH"), b"a,b\n1,2\n"):
            (self.alone / "trade.csv").write_bytes(content)
            self.assertIsNone(left_behind(self.among_others, "tBTCUSD"), content)
        (self.alone / "trade.csv").write_bytes(HEADER + _ROW)
        (self.among_others / "trade.csv").write_bytes(HEADER)
        self.assertIsNone(left_behind(self.among_others, "tBTCUSD"), "this one has begun")
