"""`make bench`, or python -m tests.bench [--quick] [--only streams,http,…] [--rounds N] [--out FOLDER].

Every part in turn; a table on the terminal, and in the folder (default build/bench) the table, figures.json and bench.svg.
Who cannot be installed is left out. Ends with 1 where somebody else could not be measured, or does not notice a fault in
what it is said to verify.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import checksums, paced, servers, streams
from tests.bench.contestants import BFXTWIST, CONTESTANTS, ROOT, Contestant
from tests.bench.environments import BFXAPI, CCXT, CRYPTOFEED, FLASK, node_folder, node_versions, python_of, versions
from tests.bench.plot import svg
from tests.bench.report import table
from tests.bench.script import Workload

#: What a contestant may verify, and what of it can be wrong.
FAULTS = {"checksums": "checksum", "sequence": "sequence"}

RECORDING = "capture-2018-11-12-tBTCUSD.jsonl.gz"


class Extent:
    """How much is measured: all of it, or what fits into five minutes."""

    def __init__(self, quick: bool, rounds: int | None = None) -> None:
        self.rounds = rounds or (2 if quick else 5)
        self.messages = 60_000 if quick else 200_000
        self.seconds = 1.5 if quick else 4.0
        self.rates = [5000.0] if quick else [1000.0, 5000.0, 20000.0]
        self.quick = quick

    def workloads(self) -> list[Workload]:
        """The streams that are compared."""
        count = self.messages
        found = [
            Workload("book-25", messages=count),
            Workload("book-250", levels=250, messages=count),
            Workload("trades", channel="trades", messages=count),
            Workload("book-300-pairs", pairs=300, messages=count),
        ]
        if self.quick:
            return found
        found += [
            Workload("book-100", levels=100, messages=count),
            Workload("book-R0", precision="R0", messages=count),
            Workload("book-30-pairs", pairs=30, messages=count),
            Workload("book-300-pairs-by-turns", pairs=300, messages=count, by_turns=True),
        ]
        path = Path(os.environ.get("BFXTWIST_DATA") or ROOT.parent / "shared" / "data") / RECORDING
        if not path.exists():
            print(f"the recorded stream is left out: {path} is not there; set BFXTWIST_DATA", file=sys.stderr)  # noqa: T201
            return found
        return [*found, Workload("recorded", levels=100, messages=count, recording=path)]


def prove_checks(_extent: Extent, figures: dict[str, Any]) -> None:
    """Who is said to verify something is sent a stream in which that is wrong."""
    figures["checks"] = {
        one.name: {what: streams.notices(one, fault) for what, fault in FAULTS.items() if what in one.verifies}
        for one in CONTESTANTS
        if one.available()
    }


def measure_streams(extent: Extent, figures: dict[str, Any]) -> None:
    """CPU per message; at many pairs, of those that can be told from one another by it only."""
    everybody = [one for one in CONTESTANTS if one.available()]
    races = [
        # Connecting many pairs takes the longest.
        streams.Race(one, _suited(everybody, one, extent), 1 if extent.quick and one.pairs > 1 else extent.rounds)
        for one in extent.workloads()
    ]
    streams.compare(races)
    figures["streams"] = {}
    for race in races:
        found = race.figures()
        figures["streams"][race.workload.name] = {one.contestant: _figure(one, race.workload) for one in found}
        if race.workload.name == "book-300-pairs":
            figures["memory"] = {one.contestant: one.memory for one in found if not one.error}


def _suited(everybody: list[Contestant], workload: Workload, extent: Extent) -> list[Contestant]:
    if extent.quick:
        everybody = [one for one in everybody if one.name != "bitfinex-api-node managed"]
    if workload.pairs > 1 or (extent.quick and workload.name == "book-250"):
        return [one for one in everybody if one.name in ("bfxtwist", "cryptofeed")]
    not_for = {"trades": ("floor", "bitfinex-api-node managed"), "book-R0": ("floor",)}.get(workload.name, ())
    return [one for one in everybody if one.name not in not_for]


def _figure(one: streams.Figure, workload: Workload) -> dict[str, Any]:
    if one.error:
        return {"error": one.error}
    verifies = next(contestant.verifies for contestant in CONTESTANTS if contestant.name == one.contestant)
    if not workload.has_checksums:
        verifies = "sequence" if "sequence" in verifies else "nothing"
    return {
        "median": one.median, "min": min(one.micros), "max": max(one.micros), "runs": one.micros, "memory": one.memory,
        "messages": one.messages, "verifies": verifies,
    }  # fmt: skip


def measure_http(extent: Extent, figures: dict[str, Any]) -> None:
    """Requests per CPU second."""
    runs = [one for _round in range(extent.rounds) for one in servers.measure(extent.seconds)]
    figures["http"] = {}
    for name in dict.fromkeys(one["server"] for one in runs):
        rates = [one["per_cpu_second"] for one in runs if one["server"] == name]
        p99 = median(one["p99"] for one in runs if one["server"] == name)
        figures["http"][name] = {"median": median(rates), "min": min(rates), "max": max(rates), "p99": p99}


def measure_paced(extent: Extent, figures: dict[str, Any]) -> None:
    """Latency and CPU at rates that occur."""
    figures["paced"] = paced.compare(extent.rates, extent.seconds, 1 if extent.quick else extent.rounds)
    figures["end to end"] = {}
    for rate in extent.rates:
        for what, measured in (("GET /book", paced.to_http), ("trade.csv", paced.to_csv)):
            figures["end to end"][f"socket to {what}, {rate:,.0f}/s"] = measured(rate, 1, extent.seconds)._asdict()


def measure_fairness(extent: Extent, figures: dict[str, Any]) -> None:
    """What HTTP clients do to the feed at 1,000 messages a second."""
    loads: dict[str, tuple[int, float | None]] = {
        "no requests": (0, None),
        "100 requests/s": (10, 100.0),
        "100 connections flat out": (100, None),
    }
    runs: dict[str, list[paced.Latency]] = {name: [] for name in loads}
    for _round in range(extent.rounds):
        for name, load in loads.items():
            runs[name].append(paced.under_load(1000, extent.seconds, *load))
    figures["fairness"] = {
        name: {"p50": median(one.p50 for one in done), "p99": median(one.p99 for one in done)} for name, done in runs.items()
    }


def measure_rest(extent: Extent, figures: dict[str, Any]) -> None:
    """One checksum; and the memory of a book, from a process with 300 of them and one with 1."""
    figures["checksum"] = checksums.measure()
    if "bfxtwist" in figures.get("memory", {}):
        one = streams.run(BFXTWIST, Workload("book-25", messages=extent.messages)).memory
        figures["memory"]["kb_per_book"] = (figures["memory"]["bfxtwist"] - one) / 299 / 1000


PARTS: dict[str, Callable[[Extent, dict[str, Any]], None]] = {
    "checks": prove_checks,
    "streams": measure_streams,
    "http": measure_http,
    "paced": measure_paced,
    "fairness": measure_fairness,
    "rest": measure_rest,
}


def _about() -> dict[str, Any]:
    cpus = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    machine = {
        "cpu": cpus[0] if cpus else platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
        "python": platform.python_version(), "when": f"{datetime.now(UTC):%Y-%m-%d}",
    }  # fmt: skip
    found = versions(Path(sys.executable), ("twisted", "autobahn", "msgspec", "klein"))
    for environment in (BFXAPI, CCXT, CRYPTOFEED, FLASK):
        if interpreter := python_of(environment):
            its = versions(interpreter, [package.partition("==")[0] for package in environment.packages])
            python = its.pop("python")
            found |= {name: f"{version} (Python {python})" for name, version in its.items()}
    if folder := node_folder():
        found |= node_versions(folder)
    return {"machine": machine, "versions": found}


def failures(figures: dict[str, Any]) -> list[str]:
    """What was there and could not be measured, or does not notice what it is said to verify."""
    streamed = figures.get("streams", {}).items()
    return [
        *figures["failed"],
        *(f"{workload}: {one['error']}" for workload, clients in streamed for one in clients.values() if "error" in one),
        *(
            f"{name} does not notice a fault in its {what}"
            for name, noticed in figures.get("checks", {}).items()
            for what in noticed
            if not noticed[what]
        ),
    ]


def main() -> None:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="what fits into five minutes")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    asked = parser.parse_args()
    parts = asked.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: take some of {', '.join(PARTS)}")
    figures = _about() | {"failed": []}
    for name in parts:
        print(f"{datetime.now(UTC):%H:%M:%S} {name} …", file=sys.stderr)  # noqa: T201
        try:
            PARTS[name](Extent(asked.quick, asked.rounds), figures)
        except (RuntimeError, TimeoutError) as error:  # of one part: what the others show is kept
            figures["failed"].append(f"{name}: {error}")
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "figures.json").write_text(json.dumps(figures, indent=1, default=str))
    text = table(figures)
    (asked.out / "table.md").write_text(text)
    if "streams" in figures:
        (asked.out / "bench.svg").write_text(svg(figures))
    print(text)  # noqa: T201
    sys.exit("\n".join(failures(figures)) or 0)


if __name__ == "__main__":
    main()
