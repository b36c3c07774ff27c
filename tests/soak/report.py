"""What a soak prints, and whether it was clean."""

from collections import Counter
from collections.abc import Sequence

from tests.soak.measures import Sample, listed, percentile, slope
from tests.soak.processes import STOP_WITHIN
from tests.soak.run import Soak

#: Memory may grow by so much in an hour, after the first part of the run in which everything is used for the first time.
MOST_MIB_AN_HOUR = 1.0
#: A line through less than an hour's samples says more of their noise than of a leak: there, so much in all.
MOST_MIB = 4.0
_WARMING_UP = 0.25

#: Descriptors come and go with connections; a leak is more of them at the end than could be in use.
MOST_MORE_DESCRIPTORS = 4

#: Nothing went wrong for so many seconds: then `verified_through` may be so far behind. An audit each 60 s moves it to 30 s
#: before the newest trade, less 60 s that are asked again: 90 s, and 150 s before the next one. A page takes its time.
CALM = 70.0
MOST_LAG = 160.0

#: Faults that take sequence numbers out of line, and how many connections each ends: those that happen once befall the
#: first connection that is written to, and what a stall swallows is missed by both daemons.
_SEQUENCE = {"skip-seq": 1, "repeat-seq": 1, "restart-seq": 1, "stall=nothing": 2}


def report(soak: Soak) -> tuple[str, bool]:
    """The text, and whether it was clean."""
    problems = [*soak.problems, *soak.bugs()]
    lines = [
        f"ran            {soak.choices.minutes:g} min at {soak.choices.rate:g} times the usual pace, "
        f"{len(soak.symbols)} pairs, two daemons (books and trades): `killed` and `lasting`",
        f"faults         {listed(soak.faults)}",
        f"kills          {soak.kills} kill -9, {soak.stops} SIGTERM and start",
        *_connections(soak, problems),
        *_trades(soak, problems),
        *_memory(soak.lasting.samples, problems),
        *_lag(soak, problems),
        f"stopping       most {max(soak.stop_seconds, default=0):.2f} s",
    ]
    if max(soak.stop_seconds, default=0) > STOP_WITHIN:
        problems.append(f"stopping took more than {STOP_WITHIN:g} s")
    lines += [f"PROBLEM        {problem}" for problem in problems]
    lines.append(f"clean          {'no' if problems else 'yes'}")
    words = f"--minutes {soak.choices.minutes:g} --seed {soak.choices.seed} --rate {soak.choices.rate:g}"
    lines.append(f"replay         python -m tests.soak {words}")
    return "\n".join(lines) + "\n", not problems


def _connections(soak: Soak, problems: list[str]) -> list[str]:
    door, ends = soak.door, soak.killed.ends.total + soak.lasting.ends.total
    if door["connects_refused"]:
        problems.append(f"{door['connects_refused']} connects were over the exchange's limit")
    made_up = sum(connections * soak.faults[name] for name, connections in _SEQUENCE.items())
    if ends["sequence"] > made_up:
        problems.append(f"{ends['sequence'] - made_up} sequence numbers were lost that no fault took")
    return [
        f"disconnects    {listed(ends)}",
        f"connects       {door['connects']}, over the exchange's limit of 20 a minute: {door['connects_refused']}",
        f"sequence       {ends['sequence']} breaks seen, of at most {made_up} made",
        f"history        {door['pages']} pages, over the exchange's limit of 15 a minute: {door['pages_refused']} "
        "(two daemons, and a killed one forgets what it asked)",
    ]


def _trades(soak: Soak, problems: list[str]) -> list[str]:
    lines = []
    for name, verdict in soak.verdicts():
        lines.append(f"ledger = file  {name}: {verdict}")
        if not verdict.equal:
            problems.append(f"{name}: {verdict}")
    counters: Counter[str] = soak.killed.counters.total + soak.lasting.counters.total
    of_books = ("checksums_matched", "checksums_mismatched", "resubscriptions")
    of_trades = ("backfilled", "audited", "duplicates", "conflicts", "rejected", "forgotten")
    gaps = [f"{one.daemon.name}: {_gaps(one.counters.latest)}" for one in soak.both]
    return [
        *lines,
        f"gaps           {'; '.join(gaps)}",
        f"verified       {soak.looks} looks at files for all that was called verified by then, while things went wrong",
        f"whole          {soak.whole_after:.0f} s after the last fault was cleared",
        f"trades         {', '.join(f'{name} {counters[name]}' for name in of_trades)}",
        f"books          {', '.join(f'{name} {counters[name]}' for name in of_books)}",
    ]


def _gaps(counters: "Counter[str]") -> str:
    return ", ".join(f"{state} {counters[f'gaps {state}']}" for state in ("open", "filled", "lost"))


def _memory(samples: Sequence[Sample], problems: list[str]) -> list[str]:
    if not samples:
        problems.append("the daemon that lasts was never seen")
        return []
    after = [one for one in samples if one.at > _WARMING_UP * samples[-1].at]
    growth = slope([(one.at / 3600, one.resident) for one in after])
    hours = (after[-1].at - after[0].at) / 3600
    if growth > MOST_MIB_AN_HOUR and growth * hours > MOST_MIB:
        problems.append(f"memory grows by {growth:.1f} MiB/h")
    first, last = after[0].descriptors, after[-1].descriptors
    if last > first + MOST_MORE_DESCRIPTORS:
        problems.append(f"descriptors: {first} became {last}")
    return [
        f"memory         of `lasting`: {after[0].resident:.1f} MiB after {after[0].at / 60:.0f} min, "
        f"{after[-1].resident:.1f} MiB at the end, most {max(one.resident for one in samples):.1f}; "
        f"slope {growth:+.2f} MiB/h over {hours * 60:.0f} min",
        f"descriptors    of `lasting`: {first} after {after[0].at / 60:.0f} min, {last} at the end, "
        f"most {max(one.descriptors for one in samples)}",
    ]


def _lag(soak: Soak, problems: list[str]) -> list[str]:
    lags = [one.lag for one in soak.lasting.samples if one.lag is not None]
    calm = [one.lag for one in soak.lasting.samples if one.lag is not None and one.calm > CALM]
    if calm and max(calm) > MOST_LAG:
        problems.append(f"verified_through was {max(calm):.0f} s behind while nothing went wrong")
    said = f"median {percentile(lags, 0.5):.0f} s, p99 {percentile(lags, 0.99):.0f} s, most {max(lags, default=0):.0f} s"
    quiet = f"most {max(calm):.0f} s" if calm else "never seen"
    return [f"verified lag   of `lasting`: {said}; after {CALM:.0f} s without a fault: {quiet}"]
