"""A fuzzer that sees which lines a frame reaches finds no frame that brings a session down."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

#: Two frames a run.
RUNS = int(os.environ.get("BFXTWIST_FUZZ_RUNS", "50000"))


class GuidedByCoverage(SynchronousTestCase):
    if find_spec("atheris") is None:
        skip = "atheris is not installed (it has no wheels for this system or Python)"

    def test_only_the_exchanges_errors_come_of_any_frame(self) -> None:
        root = Path(__file__).parents[2]
        words = [sys.executable, "-m", "tests.core.fuzz_session", f"-runs={RUNS}", "-seed=7", "-max_len=200", "-verbosity=0"]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)
        self.assertEqual(ended.returncode, 0, ended.stdout[-3000:] + ended.stderr[-3000:])
