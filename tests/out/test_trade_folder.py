"""Folders for trade files, made and tried."""

import os

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.out.trade_errors import CannotCreate
from bfxtwist.out.trade_folder import check_folder


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
