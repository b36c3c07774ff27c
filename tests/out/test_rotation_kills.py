"""Real recorders of real files, killed while they rotate: each trade stands once over all parts, and none is half done."""

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.files.recording import recordings
from bfxtwist.files.verify import verify

KILLS = int(os.environ.get("BFXTWIST_ROTATION_KILLS", "40"))
SEED = int(os.environ.get("BFXTWIST_SEED", "1"))


class RotationKillTests(SynchronousTestCase):
    """kill -9 at any moment."""

    def test_no_trade_is_lost_or_doubled_over_all_parts(self) -> None:
        script = Path(__file__).with_name("kill_rotations.py")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        environ = {**os.environ, "PYTHONPATH": str(script.parents[2])}
        words = [sys.executable, str(script), str(KILLS), str(SEED), str(folder)]
        run = subprocess.run(words, env=environ, capture_output=True, check=False, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        result = json.loads(run.stdout)
        self.assertEqual(result["kills"], KILLS)
        self.assertGreaterEqual(result["half"], KILLS // 20, "no kill met a rotation: this has shown nothing")
        [recording] = recordings([folder])
        report = verify(recording)
        self.assertTrue(report.clean, report.findings)
        self.assertLess(report.lowest_id, 1030, "it does not begin any more as it began")
        self.assertEqual(report.rows, result["newest"] - report.lowest_id + 1, "the ids are consecutive")
        self.assertEqual([part.name for part in recording.parts if part.suffix != ".gz"], ["trade.csv"])
        self.assertEqual([name for name in os.listdir(folder) if name.endswith(".tmp")], [])
        command = [sys.executable, "-m", "bfxtwist", "verify", str(folder)]
        self.assertEqual(subprocess.run(command, env=environ, capture_output=True, check=False).returncode, 0)
