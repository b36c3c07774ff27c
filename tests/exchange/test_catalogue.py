"""The lists of `conf`, in the shapes of the exchange's own answers."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.catalogue import answer_conf
from tests.recordings import recording

SYMBOLS = ["tBTCUSD", "tBTCF0:USTF0", "tDOGE:USD"]


def as_json(labels: list[str]) -> Any:
    """An answer, as a client reads it."""
    return json.loads(json.dumps(answer_conf(labels, SYMBOLS)))


class CatalogueTest(SynchronousTestCase):
    """One array for each label."""

    def test_lists_tell_spot_from_perpetual(self) -> None:
        labels = [f"pub:list:{what}" for what in ("pair:exchange", "pair:futures", "pair:securities", "currency", "nope")]
        self.assertEqual(
            answer_conf(labels, SYMBOLS),
            [["BTCUSD", "DOGE:USD"], ["BTCF0:USTF0"], [], ["BTC", "BTCF0", "DOGE", "USD", "USTF0"], []],
        )

    def test_shapes_are_those_recorded(self) -> None:
        for what in ("pair", "pair:futures"):
            [recorded] = json.loads(recording(f"conf-info-{what.replace(':', '-')}.json"))
            [made] = as_json([f"pub:info:{what}"])
            self.assertEqual([type(field) for field in made[0]], [type(field) for field in recorded[0]])
            self.assertEqual(len(made[0][1]), len(recorded[0][1]))

    def test_the_names_are_those_recorded(self) -> None:
        [recorded] = json.loads(recording("conf-map-currency-sym.json"))
        [made] = as_json(["pub:map:currency:sym"])
        shared = dict(recorded).keys() & dict(made).keys()
        self.assertEqual({k: dict(recorded)[k] for k in shared}, {k: dict(made)[k] for k in shared})
        self.assertIn("UST", shared)
