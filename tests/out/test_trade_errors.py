"""What an error of the file system means for the owner of a trade file."""

import errno

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.out.trade_errors import CannotCreate, DiskFailed, TradeFileError, WrongFile, explained


class Explained(SynchronousTestCase):
    def test_errors_say_what_to_do(self) -> None:
        """And have the exit codes of sysexits.h."""
        cases: list[tuple[int, type[TradeFileError], int]] = [
            (errno.EROFS, CannotCreate, 73),
            (errno.ENOSPC, CannotCreate, 73),
            (errno.EMFILE, CannotCreate, 73),
            (errno.EIO, DiskFailed, 74),
            (errno.ELOOP, WrongFile, 78),
        ]
        for number, kind, code in cases:
            error = explained("data/trade.csv", OSError(number, "x"))
            self.assertIsInstance(error, kind)
            self.assertEqual(error.exit_code, code)
            self.assertTrue(str(error).startswith("data/trade.csv"))
        self.assertIn("ulimit -n", str(explained("x", OSError(errno.EMFILE, "x"))))
        self.assertIn("strange", str(explained("x", OSError("strange"))))
