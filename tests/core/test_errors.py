"""What the errors say, to people and to the session."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core import errors
from bfxtwist.core.errors import (
    ChannelWrong,
    ChecksumMismatch,
    ExchangeError,
    MalformedMessage,
    SequenceLost,
    ServerRestarting,
    excerpt,
)


class Kinds(SynchronousTestCase):
    """Each kind of error."""

    def test_only_what_is_wrong_with_a_channel_spares_the_connection(self) -> None:
        kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ExchangeError)]
        self.assertGreater(len(kinds), 15)
        for kind in kinds:
            self.assertEqual(kind.ends_connection, not issubclass(kind, ChannelWrong), kind)

    def test_each_has_a_word_of_its_own_for_counters(self) -> None:
        kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ExchangeError)]
        reasons = [kind.reason for kind in kinds]
        self.assertEqual(len({*reasons}), len(reasons))
        for reason in reasons:
            self.assertRegex(reason, r"\A[a-z-]+\Z")

    def test_their_texts(self) -> None:
        self.assertEqual(str(SequenceLost(18, 20)), "expected sequence number 18, received 20")
        self.assertEqual(str(SequenceLost(18, None)), "expected sequence number 18, received None")
        self.assertEqual(str(ChecksumMismatch(-1, 5)), "checksum -1 sent, 5 computed")
        self.assertEqual(str(MalformedMessage("no JSON", b"hello")), "no JSON: hello")

    def test_what_the_exchange_says_is_one_line(self) -> None:
        self.assertEqual(str(ServerRestarting("bye\n2026-11-22 \x1b[31mcritical")), "bye\\x0a2026-11-22 \\x1b[31mcritical")
        self.assertEqual(str(ServerRestarting("x" * 70_000)), "x" * 300 + "…")


class Excerpts(SynchronousTestCase):
    """The head of a payload in a log line."""

    def test_bounded_and_printable(self) -> None:
        self.assertEqual(excerpt(b"[1]"), "[1]")
        self.assertEqual(excerpt(b"\x1b[31m\r\n\xff"), "\\x1b[31m\\x0d\\x0a\\xff")
        long = excerpt(b"x" * 1_000_000)
        self.assertEqual(long, "x" * 80 + "… (1000000 bytes)")
