"""A real writer of a real file, killed a thousand times (A3)."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

KILLS = int(os.environ.get("BFXTWIST_KILLS", "1000"))
SEED = int(os.environ.get("BFXTWIST_SEED", "1"))


class KillTests(SynchronousTestCase):
    """kill -9 at any moment."""

    def test_no_row_is_lost_or_doubled_and_torn_ones_are_repaired(self) -> None:
        """What a writer told to be in the file is there after it was killed, once, and the next writer goes on."""
        script = Path(__file__).with_name("kill_writers.py")
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run(
                [sys.executable, str(script), str(KILLS), str(SEED), folder],
                env={**os.environ, "PYTHONPATH": str(script.parents[2])},
                capture_output=True,
                check=False,
                text=True,
            )
        self.assertEqual(run.returncode, 0, run.stderr)
        result = json.loads(run.stdout)
        self.assertEqual((result["kills"], result["lost"], result["doubled"]), (KILLS, 0, 0))
        self.assertGreaterEqual(result["torn"], min(5, KILLS // 100), "no torn row was seen: this has shown nothing")
