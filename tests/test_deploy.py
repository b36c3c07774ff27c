"""What is shipped for operators fits the program: dashboard and alerts ask for metrics that exist, by labels they have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.config import DEFAULTS, gather
from tests.out.told import Told
from tests.running import ROOT

yaml: Any = import_module("yaml") if find_spec("yaml") else None

DEPLOY = files("bfxtwist").joinpath("deploy")

_NAME = re.compile(r"\b((?:bfxtwist|process|python)_[a-z_]+)\b(?:\{([^}]*)\})?")
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\bby \(([a-z_, ]*)\)")

#: Of the settings that are documented.
FEEDS = ["BTC/USD book", "BTC/USD trades", "ETH/USD book", "ETH/USD trades", "LTC/USD book"]

#: What Prometheus itself adds to every sample.
_ADDED = {"instance", "job"}


class Expressions(SynchronousTestCase):
    def setUp(self) -> None:
        self.labels = Told().labels()

    def check(self, expression: str) -> None:
        """Every name exists, and has the labels it is asked for by."""
        found = _NAME.findall(expression)
        self.assertTrue(found, expression)
        for name, selector in found:
            self.assertIn(name, self.labels, expression)
            asked = set(_LABEL.findall(selector)) | {
                label.strip() for group in _GROUPED.findall(expression) for label in group.split(",")
            }
            self.assertLessEqual(asked, self.labels[name] | _ADDED, expression)
        for pair in ("()", "{}", "[]"):
            self.assertEqual(expression.count(pair[0]), expression.count(pair[1]), expression)

    def test_the_check_finds_mistakes(self) -> None:
        self.check("rate(bfxtwist_messages_total[5m])")
        for wrong in (
            "rate(bfxtwist_message_total[5m])",
            'bfxtwist_messages_total{pair="x"}',
            "sum by (pair) (bfxtwist_messages_total)",
        ):
            self.assertRaises(self.failureException, self.check, wrong)

    def test_the_dashboard(self) -> None:
        dashboard = json.loads(DEPLOY.joinpath("dashboard.json").read_text())
        expressions = list(_expressions(dashboard))
        self.assertGreater(len(expressions), 30)
        for expression in expressions:
            self.check(expression)

    def test_panels_do_not_lie_on_each_other(self) -> None:
        panels = json.loads(DEPLOY.joinpath("dashboard.json").read_text())["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            self.assertFalse(cells & taken, panel["title"])
            self.assertTrue(all(0 <= x < 24 for x, _ in cells))
            taken |= cells

    @skipUnless(yaml, "PyYAML is not here")
    def test_the_alerts(self) -> None:
        groups = yaml.safe_load(DEPLOY.joinpath("alerts.yml").read_text())["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertEqual(len({rule["alert"] for rule in rules}), len(rules))
        for rule in rules:
            self.check(rule["expr"])
            self.assertIn(rule["labels"]["severity"], ("page", "ticket"))
            for label in re.findall(r"\$labels\.([a-z]+)", str(rule["annotations"])):
                names = [self.labels[name] for name, _ in _NAME.findall(rule["expr"])]
                self.assertIn(label, set.union(*names) | _ADDED, rule["alert"])

    @skipUnless(shutil.which("promtool"), "promtool is not here")
    def test_prometheus_takes_the_alerts(self) -> None:
        with as_file(DEPLOY.joinpath("alerts.yml")) as path:
            subprocess.run(["promtool", "check", "rules", str(path)], check=True, capture_output=True)


def _expressions(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("expr"), str):
            yield part["expr"]
        if isinstance(part.get("query"), str) and "label_values" in part["query"]:
            yield part["query"]
        part = list(part.values())
    for one in part if isinstance(part, list) else ():
        yield from _expressions(one)


class Documented(SynchronousTestCase):
    """What docs/operations.md says is so."""

    def setUp(self) -> None:
        self.text = (ROOT / "docs" / "operations.md").read_text()

    def test_metrics_that_are_named_exist(self) -> None:
        named = set(re.findall(r"`(bfxtwist_[a-z_]+)", self.text))
        self.assertGreater(len(named), 15)
        self.assertLessEqual(named, set(Told().labels()))

    def test_the_settings_are_settings(self) -> None:
        [block] = re.findall(r"```toml\n(.*?)```", self.text, re.DOTALL)
        path = Path(self.mktemp())
        path.write_text(block)
        chosen = gather({}, {}, path).settings()
        self.assertEqual([str(feed.subscription) for feed in chosen.feeds], FEEDS)
        self.assertEqual([str(feed.folder) for feed in chosen.feeds if feed.folder], ["data/BTC-USD", "data/ETH-USD"])

    def test_the_line_of_json_is_one(self) -> None:
        [block] = re.findall(r"```json\n(.*?)```", self.text, re.DOTALL)
        self.assertEqual(list(json.loads(block)), ["time", "level", "namespace", "message", "fields"])


class Unit(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = DEPLOY.joinpath("bfx@.service").read_text()

    def test_settings_that_are_named_exist(self) -> None:
        example = self.text.split("[[feed]]")[1].split("[Unit]")[0]
        for name in re.findall(r"^#\s+([a-z_]+) =", example, re.MULTILINE):
            self.assertIn(name, DEFAULTS)

    @skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
    def test_systemd_takes_it_and_finds_little_to_harden(self) -> None:
        with as_file(DEPLOY.joinpath("bfx@.service")) as path:
            command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(path)]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        if "unrecognized option" in run.stderr:
            self.skipTest("this systemd-analyze is older than 250")
        self.assertEqual(run.returncode, 0, run.stdout[-300:] + run.stderr)
