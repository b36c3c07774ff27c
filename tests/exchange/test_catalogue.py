"""The lists of `conf`, in the shapes of the exchange's own answers."""

import json

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.catalogue import answer_conf
from tests.recordings import recording

SYMBOLS = ["tBTCUSD", "tBTCF0:USTF0", "tDOGE:USD"]


class CatalogueTest(SynchronousTestCase):
    """One array for each label."""

    def test_lists_tell_spot_from_perpetual(self) -> None:
        labels = ["pub:list:pair:exchange", "pub:list:pair:futures", "pub:list:pair:securities", "pub:list:currency", "pub:nope"]
        self.assertEqual(
            answer_conf(labels, SYMBOLS),
            [["BTCUSD", "DOGE:USD"], ["BTCF0:USTF0"], [], ["BTC", "BTCF0", "DOGE", "USD", "USTF0"], []],
        )

    def test_shapes_are_those_recorded(self) -> None:
        for label, name in (("pub:info:pair", "conf-info-pair.json"), ("pub:info:pair:futures", "conf-info-pair-futures.json")):
            [recorded], [made] = json.loads(recording(name)), answer_conf([label], SYMBOLS)
            self.assertEqual([type(field) for field in made[0]], [type(field) for field in recorded[0]])  # type: ignore[index,attr-defined]
            self.assertEqual(len(made[0][1]), len(recorded[0][1]))  # type: ignore[index]

    def test_the_names_are_those_recorded(self) -> None:
        [recorded] = json.loads(recording("conf-map-currency-sym.json"))
        [made] = answer_conf(["pub:map:currency:sym"], SYMBOLS)
        shared = dict(recorded).keys() & dict(made).keys()  # type: ignore[call-overload]
        self.assertEqual({k: dict(recorded)[k] for k in shared}, {k: dict(made)[k] for k in shared})  # type: ignore[call-overload]
        self.assertIn("UST", shared)
