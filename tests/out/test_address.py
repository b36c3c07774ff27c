"""An endpoint description taken apart, as Twisted does it."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.out.address import apart


class AddressTest(SynchronousTestCase):
    def test_what_has_a_name_and_what_has_none(self) -> None:
        self.assertEqual(apart(r"tcp6:8080:interface=\:\:1"), (["tcp6", "8080"], {"interface": "::1"}))
        self.assertEqual(apart("unix:/run/bfx.sock:mode=660"), (["unix", "/run/bfx.sock"], {"mode": "660"}))
        self.assertEqual(apart(r"unix:a\\b\:c"), (["unix", r"a\b:c"], {}))
        self.assertEqual(apart(""), ([""], {}))

    def test_of_one_name_the_last_counts(self) -> None:
        self.assertEqual(apart("tcp:1:interface=127.0.0.1:interface=x"), (["tcp", "1"], {"interface": "x"}))
