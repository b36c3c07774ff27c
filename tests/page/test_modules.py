"""The page's modules by themselves: node's test runner over them, where there is a node."""

import subprocess
from importlib.resources import files
from pathlib import Path
from shutil import copy, which

from twisted.trial.unittest import SynchronousTestCase


class Modules(SynchronousTestCase):
    """Everything in *.test.js."""

    def test_modules(self) -> None:
        """The tests of the modules pass."""
        node = which("node")
        if node is None:
            self.skipTest("there is no node here")
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        # Beside each other, and said to be modules, which any version of node understands.
        (folder / "package.json").write_text('{"type": "module"}')
        for tests in Path(__file__).parent.glob("*.test.js"):
            copy(tests, folder)
        for file in files("bfxtwist.out").joinpath("page").iterdir():
            if file.name.endswith(".js"):
                (folder / file.name).write_bytes(file.read_bytes())
        run = subprocess.run([node, "--test", str(folder)], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
