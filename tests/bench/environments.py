"""A virtual environment for each peer, made once in a cache folder, so that no peer's dependencies meet ours.

    python -m tests.bench.environments     makes them all
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

CACHE = Path(os.environ.get("BFXTWIST_BENCH_CACHE", ".venv-bench")).resolve()


class Environment(NamedTuple):
    """What one peer needs. `newest_python`: take the newest one at hand, since the peer's newest release asks for it."""

    name: str
    packages: tuple[str, ...]
    newest_python: bool = False


BFXAPI = Environment("bfxapi", ("bitfinex-api-py==4.0.0",))
CCXT = Environment("ccxt", ("ccxt==4.5.90",))
CRYPTOFEED = Environment("cryptofeed", ("cryptofeed",), newest_python=True)
FLASK = Environment("flask", ("flask", "gunicorn"))

#: The one published release of bitfinex-api-node that asks for a REST package which is not published; no REST is used here.
NODE_PACKAGE = {
    "private": True,
    "dependencies": {"bitfinex-api-node": "9.1.0"},
    "overrides": {"bfx-api-node-rest": "7.0.0"},
}


@cache
def python_of(environment: Environment) -> Path | None:
    """The interpreter of an environment, made if missing; None, with the reason on stderr, where it cannot be made."""
    folder = CACHE / environment.name
    interpreter, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists():
        return interpreter
    base = _newest_python() if environment.newest_python else sys.executable
    print(f"making {folder} for {' '.join(environment.packages)} …", file=sys.stderr)  # noqa: T201
    made = _run([base, "-m", "venv", "--clear", str(folder)])
    if not made or not _run([str(interpreter), "-m", "pip", "install", "-q", *environment.packages]):
        print(f"{environment.name} is left out", file=sys.stderr)  # noqa: T201
        return None
    ready.touch()
    return interpreter


@cache
def node_folder() -> Path | None:
    """The folder with bitfinex-api-node's modules; None, with the reason on stderr, where it cannot be made."""
    folder = CACHE / "node"
    if (folder / ".ready").exists():
        return folder
    if not shutil.which("node") or not shutil.which("npm"):
        print("bitfinex-api-node is left out: no node, or no npm, on the path", file=sys.stderr)  # noqa: T201
        return None
    print(f"making {folder} for bitfinex-api-node …", file=sys.stderr)  # noqa: T201
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps(NODE_PACKAGE))
    if not _run(["npm", "install", "--loglevel=error", "--no-audit", "--no-fund"], folder):
        print("bitfinex-api-node is left out", file=sys.stderr)  # noqa: T201
        return None
    (folder / ".ready").touch()
    return folder


def versions(interpreter: Path, packages: Sequence[str]) -> dict[str, str]:
    """The versions of packages in an environment, and of its Python."""
    code = "import json, platform, sys; from importlib.metadata import version as v; "
    code += "print(json.dumps({'python': platform.python_version()} | {p: v(p) for p in sys.argv[1:]}))"
    done = subprocess.run([interpreter, "-c", code, *packages], capture_output=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def node_versions(folder: Path) -> dict[str, str]:
    """The version of bitfinex-api-node in its folder, and of node."""
    package = json.loads((folder / "node_modules" / "bitfinex-api-node" / "package.json").read_text())
    node = subprocess.run(["node", "--version"], capture_output=True, check=True, text=True).stdout.strip()
    return {"bitfinex-api-node": f"{package['version']} (node {node.removeprefix('v')})"}


def _newest_python() -> str:
    """The newest Python at hand, on the path or among pyenv's, that is no older than ours."""
    found = {sys.version_info[:2]: sys.executable}
    for minor in range(12, 20):
        on_path = shutil.which(f"python3.{minor}")
        of_pyenv = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
        for candidate in [*map(str, of_pyenv), *([on_path] if on_path else [])]:
            if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
                found[(3, minor)] = candidate
    return found[max(found)]


def _run(command: list[str], folder: Path | None = None) -> bool:
    done = subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{' '.join(command[:3])} …: {done.stderr.strip()[-300:]}", file=sys.stderr)  # noqa: T201
    return done.returncode == 0


if __name__ == "__main__":
    for one in (BFXAPI, CCXT, CRYPTOFEED, FLASK):
        python_of(one)
    node_folder()
