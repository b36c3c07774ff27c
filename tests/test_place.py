"""What is shown of an address can be opened on this machine."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.place import place_of


class PlaceTest(SynchronousTestCase):
    def test_of_both_families_and_of_every_address(self) -> None:
        for host, place in (
            ("127.0.0.1", "127.0.0.1:8080"),
            ("192.0.2.7", "192.0.2.7:8080"),
            ("::1", "[::1]:8080"),
            ("0.0.0.0", "127.0.0.1:8080"),
            ("::", "[::1]:8080"),
        ):
            self.assertEqual(place_of(host, 8080), place)
