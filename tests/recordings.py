"""The recordings of the real exchange, read in place: nothing of them is kept in the project."""

import os
from pathlib import Path
from unittest import SkipTest

_FOLDER = Path(os.environ.get("BFXTWIST_DATA") or Path(__file__).parents[2] / "shared" / "data")


def recording_path(name: str) -> Path:
    """Where a recording lies. Skips the test, saying so, where it is absent."""
    path = _FOLDER / name
    if not path.exists():
        raise SkipTest(f"the recording {name} is not at {_FOLDER}: set BFXTWIST_DATA")
    return path


def recording(name: str) -> bytes:
    """The bytes of a recording."""
    return recording_path(name).read_bytes()
