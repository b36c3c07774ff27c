"""The bar moves on a terminal, leaves nothing behind, and is silent anywhere else."""

from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.files.progress import ProgressBar


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Bars(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0

    def show(self, stream: StringIO, *steps: tuple[float, int]) -> str:
        with ProgressBar("reading", 200, stream, lambda: self.now) as progress:
            for seconds, amount in steps:
                self.now += seconds
                progress.advance(amount)
        return stream.getvalue()

    def test_on_a_terminal(self) -> None:
        drawn = self.show(Terminal(), (1, 50), (0.01, 50), (1, 100)).split("\r")
        self.assertEqual(drawn[1:], [f"reading {'█' * 7}{'░' * 23}  25%", f"reading {'█' * 30} 100%", "\x1b[K"])

    def test_what_is_done_at_once_needs_no_bar(self) -> None:
        self.assertEqual(self.show(Terminal(), (0.01, 200)), "")

    def test_nowhere_else(self) -> None:
        self.assertEqual(self.show(StringIO(), (1, 50), (1, 150)), "")
