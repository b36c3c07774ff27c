"""What a daemon loads: nothing that only other runs need, and all that its own needs. And what must be installed for it."""

import ast
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from tests.running import ROOT

#: A process of its own, as far as twistd goes before it starts the service. The names of everything that it has loaded.
_MAKE = """
import json, sys
from bfxtwist.app import Options, makeService

options = Options()
options.parseOptions(sys.argv[1:])
makeService(options)
print(json.dumps(sorted(sys.modules)))
"""

_BOOK = ("--pair", "BTC/USD", "--channel", "book", "--listen", "tcp:0:interface=127.0.0.1")
_ELSEWHERE = ("--ws-url", "ws://127.0.0.1:9/ws/2", "--rest-url", "http://127.0.0.1:9/v2")


def loaded(*words: str) -> set[str]:
    """The modules of `twistd bfx` with these options."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _MAKE, *words]
        done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    return set(json.loads(done.stdout))


class Loaded(SynchronousTestCase):
    def test_of_the_exchange_only_what_the_relay_shares(self) -> None:
        names = {name for name in loaded(*_BOOK, *_ELSEWHERE) if name.startswith("bfxtwist.exchange.")}
        shared = {"bfxtwist.exchange." + name for name in ("conversation", "server", "venue", "views")}
        self.assertLessEqual(names, shared)

    def test_no_tools_and_no_compressor(self) -> None:
        names = {name for name in loaded(*_BOOK, *_ELSEWHERE) if name.startswith(("bfxtwist.files.", "backports.zstd"))}
        known = {"bfxtwist.files." + name for name in ("trade_file", "findings", "recording")}  # rows, and names of parts
        self.assertLessEqual(names, known)

    def test_the_demo_before_it_starts(self) -> None:
        self.assertIn("bfxtwist.exchange.embedded", loaded(*_BOOK, "--demo"))


#: What is imported by another name than it is installed by, and what is Python's own from 3.14 on.
_INSTALLED_AS = {"OpenSSL": "pyopenssl"}
_LATER_PYTHON = {"compression"}


class Required(SynchronousTestCase):
    def test_what_is_imported_is_required(self) -> None:
        """Each library by its own name, though today another brings it along."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        lines = [*project["dependencies"], *project["optional-dependencies"]["zstd"]]
        required = {_plain(re.split(r"[\[<>=;]", line)[0]) for line in lines}
        own = {*sys.stdlib_module_names, *_LATER_PYTHON, "bfxtwist"}
        found = {_required_for(name, required) for name in _imported() if name.partition(".")[0] not in own}
        self.assertEqual(found, required)


def _required_for(name: str, required: set[str]) -> str:
    """Which of these brings what is imported; if none does, what is imported."""
    top, _, _ = name.partition(".")
    plain = _plain(name.replace(top, _INSTALLED_AS.get(top, top), 1))
    return next((one for one in required if f"{plain}-".startswith(f"{one}-")), name)


def _imported() -> Iterator[str]:
    """Every name that the package imports, in full: `zope.interface.implementer`."""
    for path in [*(ROOT / "bfxtwist").rglob("*.py"), *(ROOT / "twisted").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _plain(name: str) -> str:
    """As PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()
