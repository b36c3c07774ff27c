"""Faults by name."""

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.faults import BY_NAME, Faults, UnknownFault, describe


class FaultsTest(SynchronousTestCase):
    """Switched on, off, and taken."""

    def setUp(self) -> None:
        """None is on."""
        self.faults = Faults(Random(1))

    def test_on_the_command_line(self) -> None:
        self.faults.set_from("late-ack=2.5")
        self.faults.set_from("drop")
        self.assertEqual((self.faults.number("late-ack"), self.faults.word("drop")), (2.5, "rst"))

    def test_mistakes_name_the_fix(self) -> None:
        for text, fix in (
            ("late-akc", "did you mean late-ack"),
            ("late-ack=soon", "a number is needed, as in late-ack=13"),
            ("late-ack=-1", "0 or more"),
            ("late-ack=nan", "0 or more"),
            ("drop=softly", "choose from rst, fin, mid-frame, close"),
            ("quiet=3", "takes no value"),
        ):
            with self.assertRaisesRegex(ValueError, fix):
                self.faults.set_from(text)
        self.assertEqual(list(self.faults), [])
        with self.assertRaises(UnknownFault):
            self.faults.clear("nonsense")

    def test_one_that_happens_once_is_over_when_taken(self) -> None:
        self.faults.set("skip-seq")
        self.assertIsNotNone(self.faults.take("skip-seq"))
        self.assertIsNone(self.faults.take("skip-seq"))

    def test_watchers_hear_of_every_change(self) -> None:
        heard: list[str] = []
        self.faults.watch(heard.append)
        self.faults.set("quiet")
        self.faults.set("stall")
        self.faults.clear("quiet")
        self.faults.clear("quiet")
        self.faults.clear()
        self.assertEqual(heard, ["quiet", "stall", "quiet", "stall"])

    def test_parts(self) -> None:
        self.faults.set("te-missing", 0.25)
        befallen = sum(self.faults.befalls("te-missing") for _ in range(1000))
        self.assertTrue(200 < befallen < 300, befallen)
        self.assertFalse(self.faults.befalls("te-twice"))

    def test_every_fault_is_described_and_can_be_set(self) -> None:
        text = describe()
        for name, fault in BY_NAME.items():
            self.assertIn(f"  {name}", text)
            self.assertIn(fault.about, text)
            self.faults.set(name)
            for choice in fault.choices:
                self.faults.set(name, choice)
        self.assertEqual(set(self.faults), set(BY_NAME))
        self.assertLessEqual(max(map(len, text.splitlines())), 140)
