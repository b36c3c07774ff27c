"""External sorting gives what sorting in memory gives, and holds no more than a run."""

from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.files.external_sort import sorted_lines


class Sorting(SynchronousTestCase):
    @given(st.lists(st.integers(0, 99)), st.integers(1, 5), st.integers(2, 4))
    def test_any_runs_and_any_fan_in(self, numbers: list[int], run_lines: int, fan_in: int) -> None:
        lines = [b"%02d\n" % number for number in numbers]
        folder = Path(self.mktemp())
        self.assertEqual(list(sorted_lines(lines, folder, run_lines, fan_in)), sorted(lines))
        self.assertEqual(list(folder.iterdir()), [])

    def test_no_more_than_a_run_is_in_memory_and_no_more_than_the_fan_in_is_open(self) -> None:
        folder = Path(self.mktemp())
        drawn: list[int] = []

        def source() -> Iterator[bytes]:
            for number in range(1000, 0, -1):
                on_disk = sum(path.read_bytes().count(b"\n") for path in folder.iterdir())
                drawn.append(1000 - number - on_disk)  # drawn and not yet on disk: that is what memory holds
                yield b"%04d\n" % number

        ordered = sorted_lines(source(), folder, run_lines=10, fan_in=8)
        self.assertEqual(next(ordered), b"0001\n")
        self.assertEqual(max(drawn), 9)  # and the tenth, with which the run is written
        self.assertLessEqual(len(list(folder.iterdir())), 8)
        self.assertEqual(sum(1 for _ in ordered), 999)

    def test_what_fits_into_one_run_needs_no_disk(self) -> None:
        folder = Path(self.mktemp())
        ordered = sorted_lines([b"2\n", b"1\n"], folder, run_lines=3)
        self.assertEqual(next(ordered), b"1\n")
        self.assertEqual(list(folder.iterdir()), [])
