"""The ratios that the benchmark is to show, each from the figures of one run."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Figures = Mapping[str, Any]


class Verdict(NamedTuple):
    """One ratio. `least`: it is to be at least the target; else at most. `value` is None where its figures are missing."""

    name: str
    value: float | None
    target: float
    least: bool

    @property
    def reached(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.target if self.least else self.value <= self.target


def verdicts(figures: Figures) -> list[Verdict]:
    """Every target, with what was measured."""
    return [*_streams(figures), *_http(figures), *_paced(figures), *_rest(figures)]


def _at_least(name: str, target: float, value: Callable[[], float]) -> Verdict:
    return Verdict(name, _or_none(value), target, True)


def _at_most(name: str, target: float, value: Callable[[], float]) -> Verdict:
    return Verdict(name, _or_none(value), target, False)


def _or_none(value: Callable[[], float]) -> float | None:
    try:
        return value()
    except (KeyError, ZeroDivisionError):
        return None


def _streams(figures: Figures) -> Iterator[Verdict]:
    def micros(workload: str, client: str = "bfxtwist") -> float:
        return float(figures["streams"][workload][client]["median"])

    def against(workload: str, client: str) -> Callable[[], float]:
        return lambda: micros(workload, client) / micros(workload)

    yield _at_least("book stream, against cryptofeed", 5, against("book-25", "cryptofeed"))
    yield _at_least("book stream, against ccxt.pro", 15, against("book-25", "ccxt.pro"))
    yield _at_least("book stream, against bitfinex-api-py", 15, against("book-25", "bitfinex-api-py"))
    yield _at_most("book stream, over the floor", 3.5, lambda: micros("book-25") / micros("book-25", "floor"))
    yield _at_least("trades to CSV, against cryptofeed", 7, against("trades", "cryptofeed"))
    yield _at_least("trades to CSV, against ccxt.pro", 12, against("trades", "ccxt.pro"))
    yield _at_least("trades to CSV, against bitfinex-api-py", 12, against("trades", "bitfinex-api-py"))
    yield _at_most("300 pairs, over 1 pair", 1.3, lambda: micros("book-300-pairs") / micros("book-25"))
    yield _at_most("250 levels, over 25", 1.3, lambda: micros("book-250") / micros("book-25"))


def _http(figures: Figures) -> Iterator[Verdict]:
    def against(server: str) -> Callable[[], float]:
        return lambda: figures["http"]["bfxtwist, its feed running"]["median"] / figures["http"][server]["median"]

    yield _at_least("GET /book, against Flask's own server", 6, against("Flask, its own server"))
    yield _at_least("GET /book, against gunicorn sync", 1.8, against("Flask on gunicorn, sync"))


def _paced(figures: Figures) -> Iterator[Verdict]:
    def ratio(burst: int, field: str) -> Callable[[], float]:
        def value() -> float:
            found = {one["client"]: one[field] for one in figures["paced"] if (one["rate"], one["burst"]) == (5000, burst)}
            return float(found["bfxtwist"] / found["cryptofeed"])

        return value

    for burst, target, words in ((1, 0.9, "single frames"), (20, 0.6, "bursts of 20")):
        yield _at_most(f"paced at 5,000/s, {words}: p50 to the book, of cryptofeed's", target, ratio(burst, "p50"))
        yield _at_most(f"paced at 5,000/s, {words}: CPU per message, of cryptofeed's", target, ratio(burst, "cpu"))


def _rest(figures: Figures) -> Iterator[Verdict]:
    def loaded(load: str) -> Callable[[], float]:
        return lambda: figures["fairness"][load]["p50"] / figures["fairness"]["no requests"]["p50"]

    yield _at_most("feed p50 with 100 GET/s, over without", 1.3, loaded("100 requests/s"))
    yield _at_most("feed p50 with 100 connections flat out, over without", 10, loaded("100 connections flat out"))
    yield _at_least("one checksum, cheaper than formatting", 8, lambda: figures["checksum"]["ratio"])
    yield _at_most("memory per book at 300 pairs, KB", 100, lambda: figures["memory"]["kb_per_book"])
    yield _at_most(
        "memory at 300 pairs, of cryptofeed's",
        0.8,
        lambda: figures["memory"]["bfxtwist"] / figures["memory"]["cryptofeed"],
    )
