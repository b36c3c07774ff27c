"""Time, written for people and read back."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.moment import iso, milliseconds


class Times(SynchronousTestCase):
    """As ISO 8601 has it, in UTC."""

    def test_iso(self) -> None:
        self.assertEqual(iso(1790134414850), "2026-09-23T03:33:34.850Z")
        self.assertEqual(iso(0), "1970-01-01T00:00:00.000Z")

    def test_milliseconds(self) -> None:
        for text in ("2026-09-23T03:33:34.850Z", "2026-09-23T03:33:34.850999", "2026-09-23T05:33:34.85+02:00"):
            self.assertEqual(milliseconds(text), 1790134414850, text)
        self.assertRaises(ValueError, milliseconds, "yesterday")
