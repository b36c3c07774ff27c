"""The page says what the tests are, as they are now."""

import os
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.reliability.document import PARTS, document
from tests.reliability.table import NoSuchTest, find

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


class Page(SynchronousTestCase):
    def test_it_is_as_generated(self) -> None:
        if {"BFXTWIST_SEED", "BFXTWIST_SWIZZLES"} & os.environ.keys():
            raise SkipTest("other seeds than the usual ones were asked for")
        self.assertEqual(PAGE.read_text(), document(), "run: python -m tests.reliability > docs/reliability.md")

    def test_every_fault_is_shown_or_said_not_to_be(self) -> None:
        keys = [row.key for rows in PARTS.values() for row in rows]
        parts = (("N", 22), ("P", 12), ("D", 13), ("H", 12))
        self.assertEqual(keys, [f"{letter}{number}" for letter, most in parts for number in range(1, most + 1)])
        for rows in PARTS.values():
            for row in rows:
                self.assertTrue(row.shown_by or row.not_shown, row.key)

    def test_a_test_that_is_not_there(self) -> None:
        for pattern in ("test_kills.Kills.test_nothing", "test_kills.Nobody.*", "test_never.Kills.*", "test_kills"):
            self.assertRaises(NoSuchTest, find, pattern)
