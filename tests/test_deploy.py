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

#: For each alert what is told minute by minute, in promtool's notation: an hour of calm, and then two of trouble.
TROUBLE = {
    "BfxDown": {'up{job="bfxtwist"}': "1x59 0x120"},
    "BfxRestarting": {"bfxtwist_start_time_seconds": "1000x59 2000+60x120"},
    "BfxFeedNotLive": {'bfxtwist_feed_live{pair="BTC/USD",channel="book"}': "1x59 0x120"},
    "BfxFeedSilent": {'bfxtwist_feed_silence_seconds{pair="BTC/USD",channel="book"}': "15x59 60+60x120"},
    "BfxNoConnection": {"bfxtwist_connections_open": "2x59 1x120", "bfxtwist_connections_wanted": "2x180"},
    "BfxReconnecting": {'bfxtwist_reconnects_total{reason="lost"}': "0+0.1x59 6+1x120"},
    "BfxChecksumMismatch": {'bfxtwist_checksum_mismatches_total{pair="BTC/USD",channel="book"}': "0x59 0+1x120"},
    "BfxBookUnverified": {
        'bfxtwist_book_verified{pair="BTC/USD",channel="book"}': "1x59 0x120",
        'bfxtwist_feed_live{pair="BTC/USD",channel="book"}': "1x180",
    },
    "BfxBugs": {'bfxtwist_reconnects_total{reason="bug"}': "0x59 1x120"},
    "BfxBehindExchange": {
        'bfxtwist_exchange_lag_seconds_bucket{le="1.0"}': "0+60x59 3540x120",
        'bfxtwist_exchange_lag_seconds_bucket{le="2.5"}': "0+60x59 3540x120",
        'bfxtwist_exchange_lag_seconds_bucket{le="5.0"}': "0+60x180",
        'bfxtwist_exchange_lag_seconds_bucket{le="+Inf"}': "0+60x180",
    },
    "BfxDiskFailing": {'bfxtwist_trade_disk_failing{pair="BTC/USD"}': "0x59 1x120"},
    "BfxDiskSlow": {
        'bfxtwist_trade_flush_seconds_bucket{pair="BTC/USD",le="1.0"}': "0+60x59 3540x120",
        'bfxtwist_trade_flush_seconds_bucket{pair="BTC/USD",le="2.5"}': "0+60x180",
        'bfxtwist_trade_flush_seconds_bucket{pair="BTC/USD",le="+Inf"}': "0+60x180",
    },
    "BfxTradesUnverified": {'bfxtwist_trade_verified_lag_seconds{pair="BTC/USD"}': "120x59 180+60x120"},
    "BfxTradeGapOpen": {'bfxtwist_trade_gaps{pair="BTC/USD",state="open"}': "0x59 1x120"},
    "BfxTradesLost": {'bfxtwist_trade_gaps{pair="BTC/USD",state="lost"}': "1x59 2x120"},
    "BfxRelayDropsClients": {'bfxtwist_relay_drops_total{reason="too slow"}': "0x59 0+1x120"},
    "BfxHttpErrors": {'bfxtwist_http_requests_total{code="500"}': "0x59 1x120"},
    "BfxFilesRunOut": {'process_open_fds{job="bfxtwist"}': "30x59 4000x120", 'process_max_fds{job="bfxtwist"}': "4096x180"},
}

DEPLOY = files("bfxtwist").joinpath("deploy")

_NAME = re.compile(r"\b((?:bfxtwist|process|python)_[a-z_]+)\b(?:\{([^}]*)\})?")
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\bby \(([a-z_, ]*)\)")

#: Of the settings that are documented.
FEEDS = ["BTC/USD book", "BTC/USD trades", "ETH/USD book", "ETH/USD trades", "LTC/USD book"]

#: Prometheus' own metric: whether there is anything to scrape.
_UP = 'up{job="bfxtwist"} == 0'

#: What Prometheus itself adds to every sample.
_ADDED = {"instance", "job"}


class Expressions(SynchronousTestCase):
    def setUp(self) -> None:
        self.labels = Told().labels()

    def check(self, expression: str) -> None:
        """Every name exists, and has the labels it is asked for by."""
        found = _NAME.findall(expression)
        self.assertTrue(found or expression == _UP, expression)
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
                self.assertIn(label, set.union(_ADDED, *names), rule["alert"])

    @skipUnless(shutil.which("promtool"), "promtool is not here")
    def test_prometheus_takes_the_alerts(self) -> None:
        with as_file(DEPLOY.joinpath("alerts.yml")) as path:
            subprocess.run(["promtool", "check", "rules", str(path)], check=True, capture_output=True)

    @skipUnless(yaml and shutil.which("promtool"), "promtool or PyYAML is not here")
    def test_each_alert_fires_when_there_is_trouble_and_not_before(self) -> None:
        rules = DEPLOY.joinpath("alerts.yml")
        self.assertEqual({rule["alert"] for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]}, set(TROUBLE))
        fired = 'count by (alertname) (count_over_time(ALERTS{%s alertstate="firing"}[2h]))'
        tests = [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in told.items()],
                "promql_expr_test": [
                    {"expr": fired % "", "eval_time": "59m", "exp_samples": []},
                    {
                        "expr": fired % f'alertname="{alert}",',
                        "eval_time": "180m",
                        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}],
                    },
                ],
            }
            for alert, told in TROUBLE.items()
        ]
        path = Path(self.mktemp())
        with as_file(rules) as shipped:
            path.write_text(json.dumps({"rule_files": [str(shipped)], "tests": tests}))
            run = subprocess.run(["promtool", "test", "rules", str(path)], check=False, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


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

    def test_it_leaves_the_daemon_what_it_needs(self) -> None:
        """Under the first there is no connection over TLS, and under the other no `process_…` in /metrics."""
        for line in ("MemoryDenyWriteExecute=yes", "ProcSubset=pid"):
            self.assertNotIn(line, self.text.splitlines())

    @skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not here")
    def test_systemd_takes_it_and_finds_little_to_harden(self) -> None:
        with as_file(DEPLOY.joinpath("bfx@.service")) as path:
            command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(path)]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        if "unrecognized option" in run.stderr:
            self.skipTest("this systemd-analyze is older than 250")
        self.assertEqual(run.returncode, 0, run.stdout[-300:] + run.stderr)
