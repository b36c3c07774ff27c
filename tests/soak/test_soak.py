"""A soak of a few seconds: the machinery of it, since nobody runs the long one each day."""

import os
import sys
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

ROOT = Path(__file__).parents[2]


class Soak(TestCase):
    timeout = 120

    async def test_it_runs_judges_and_reports(self) -> None:
        words = ("-m", "tests.soak", "--minutes", "0.1", "--seed", "7", "--folder", str(Path(self.mktemp()).absolute()))
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        said, errors, code = await getProcessOutputAndValue(sys.executable, words, environ)
        report = said.decode()
        self.assertEqual(code, 0, report + errors.decode())
        self.assertIn("clean          yes", report)
        self.assertEqual(report.count("ledger = file"), 4)
        self.assertEqual(report.count(": equal: "), 4)
