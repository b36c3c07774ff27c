"""The figures as a table for the terminal and for docs/performance.md, and as JSON."""

from collections.abc import Iterator
from typing import Any

from tests.bench.targets import Verdict, verdicts


def table(figures: dict[str, Any]) -> str:
    """Markdown, which reads well on a terminal too."""
    parts = (_machine(figures), _checks(figures), _streams(figures), _others(figures), _verdicts(verdicts(figures)))
    return "\n".join(line for part in parts for line in part) + "\n"


def _machine(figures: dict[str, Any]) -> Iterator[str]:
    machine = figures["machine"]
    yield "{cpu}, {cores} cores, Linux {kernel}, Python {python}, {when}".format_map(machine)
    yield ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    yield ""


def _checks(figures: dict[str, Any]) -> Iterator[str]:
    if "checks" in figures:
        yield "| a stream with a fault | a wrong checksum | a missing number |"
        yield "|---|---|---|"
        for name, noticed in figures["checks"].items():
            words = {True: "noticed", False: "**not noticed**", None: ""}
            yield f"| {name} | {words[noticed.get('checksums')]} | {words[noticed.get('sequence')]} |"
        yield ""


def _streams(figures: dict[str, Any]) -> Iterator[str]:
    for workload, clients in figures.get("streams", {}).items():
        ours = clients.get("bfxtwist", {}).get("median")
        yield f"**{workload}**: {clients.get('bfxtwist', {}).get('messages', 0):,} messages, µs of CPU per message"
        yield ""
        yield "| client | median | min to max | per CPU second | of bfxtwist | checks | memory, MB |"
        yield "|---|--:|--:|--:|--:|---|--:|"
        for name, one in clients.items():
            if "error" in one:
                yield f"| {name} | failed: {one['error'].splitlines()[0][:60]} | | | | | |"
                continue
            ratio = f"{one['median'] / ours:.1f}" if ours else ""
            yield (
                f"| {name} | {one['median']:.2f} | {one['min']:.2f} to {one['max']:.2f} | {1e6 / one['median']:,.0f} "
                f"| {ratio} | {one['verifies']} | {one['memory'] / 1e6:.0f} |"
            )
        yield ""


def _others(figures: dict[str, Any]) -> Iterator[str]:
    if "http" in figures:
        yield "| GET /book, 250 levels, 10 connections | requests per CPU second | min to max | p99, ms |"
        yield "|---|--:|--:|--:|"
        for name, one in figures["http"].items():
            yield f"| {name} | {one['median']:,.0f} | {one['min']:,.0f} to {one['max']:,.0f} | {one['p99']:.1f} |"
        yield ""
    if "paced" in figures:
        yield "| socket to book | messages/s | burst | p50, ms | p99, ms | µs of CPU per message |"
        yield "|---|--:|--:|--:|--:|--:|"
        for one in figures["paced"]:
            shown = f"{one['p50']:.3f} | {one['p99']:.2f} | {one['cpu']:.1f}"
            yield f"| {one['client']} | {one['rate']:,.0f} | {one['burst']} | {shown} |"
        yield ""
    for title in ("end to end", "fairness"):
        if title in figures:
            yield f"| {title} | p50, ms | p99, ms |"
            yield "|---|--:|--:|"
            for name, one in figures[title].items():
                yield f"| {name} | {one['p50']:.3f} | {one['p99']:.2f} |"
            yield ""


def _verdicts(found: list[Verdict]) -> Iterator[str]:
    yield "| to reach | measured | at least / at most | |"
    yield "|---|--:|--:|---|"
    for one in found:
        bound = f"{'≥' if one.least else '≤'} {one.target:g}"
        words = {True: "reached", False: "not reached", None: "not measured"}[one.reached]
        yield f"| {one.name} | {'' if one.value is None else f'{one.value:.2f}'} | {bound} | {words} |"
