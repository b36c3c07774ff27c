"""A recorder that rotates, in memory, and what must be true of all its parts together."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.trade_rows import HEADER
from bfxtwist.files.recording import recordings
from bfxtwist.files.verify import verify
from bfxtwist.out.closed_parts import Compression
from bfxtwist.out.rotation import Rotation
from bfxtwist.out.trade_recorder import TradeRecorder
from tests.out.recording import LAYOUT, Recording, at_once

#: So many bytes are some four rows.
SIZE = 400


class Rotating(Recording):
    """A recorder that rotates."""

    def __init__(self, size: int | None = SIZE, compression: Compression = Compression.GZIP, **how: Any) -> None:
        self.rule = size, compression
        self.compress_in: Callable[[Callable[[], Any]], Deferred[Any]] = at_once
        super().__init__(**how)

    def make(self) -> TradeRecorder:
        rotation = Rotation(self._folder, *self.rule, disk=self.disk, in_thread=self.compress_in)
        self._arguments["rotation"] = rotation
        return super().make()

    def trades(self, count: int) -> None:
        """One a second."""
        for _ in range(count):
            self.trade(pause=1)

    @property
    def parts(self) -> list[str]:
        """What verify takes for the parts of the recording, oldest first."""
        return [part.name for part in self.copied()[0].parts]

    def copied(self) -> list[Any]:
        """The recording, on a real disk."""
        folder = Path(self.scratch)
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name in self.crash_disk.names:
            (folder / name.removeprefix("/")).write_bytes(self.crash_disk.content(name))
        return recordings([folder])

    scratch = ""

    def all_ids(self) -> list[int]:
        """The ids of all parts, in their order."""
        ids: list[int] = []
        for name in self.parts:
            content = self.crash_disk.content(f"/{name}")
            content = gzip.decompress(content) if name.endswith(".gz") else content
            assert content.startswith(HEADER), name
            found = LAYOUT.ids(content[len(HEADER) :])
            assert found is not None, content
            ids += map(int, found)
        return ids


class RotationTest(SynchronousTestCase):
    """What every test of it needs."""

    def rotating(self, *rule: Any, **how: Any) -> Rotating:
        """A recorder that rotates, and whose files can be looked at."""
        recording = Rotating(*rule, **how)
        recording.scratch = self.mktemp()
        return recording

    def assert_whole(self, recording: Rotating, what: str = "") -> None:
        """Each trade once over all parts; verify says so, too."""
        ids = recording.all_ids()
        self.assertEqual(len(ids), len(set(ids)), what)
        self.assertEqual(sorted(ids), recording.ledger(), what)
        [found] = recording.copied()
        report = verify(found)
        self.assertTrue(report.clean, f"{what}: {report.findings}")
        self.assertEqual(report.rows, len(ids), what)
