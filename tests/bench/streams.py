"""CPU time per message, each contestant kept busy with the same stream, in turns."""

from statistics import median
from typing import Any, NamedTuple

from tests.bench.contestants import Contestant, Running
from tests.bench.cpu import cpu_seconds, wait_idle
from tests.bench.replay import Replay, Sent
from tests.bench.script import Workload


class Unsound(RuntimeError):
    """A contestant has not taken in what it was sent, or found fault with it."""


class Run(NamedTuple):
    """One run. `cpu` in seconds, `memory` in bytes at most."""

    messages: int
    cpu: float
    memory: int
    seen: dict[str, Any]


class Figure(NamedTuple):
    """Several runs of one contestant on one workload, in µs of CPU per message."""

    contestant: str
    micros: list[float]
    memory: int
    messages: int
    error: str = ""

    @property
    def median(self) -> float:
        return median(self.micros)


def run(contestant: Contestant, workload: Workload) -> Run:
    """One run, from a fresh process to its end. Raises Unsound: who has lost something is no measure."""
    with Replay(workload) as replay, Running(contestant, workload, replay) as running:
        wait_idle(running.pid)
        before = cpu_seconds(running.pid)
        sent = replay.stream()
        after = wait_idle(running.pid)
        most = running.peak_memory()
        seen = running.finish()
    seen.pop("arrived", None)
    if found := faults(workload, sent, seen):
        raise Unsound(f"{contestant.name}: {found}")
    return Run(sent.messages, after - before, most, seen)


def faults(workload: Workload, sent: Sent, seen: dict[str, Any]) -> str:
    """In words, where a contestant has seen something else than was sent; empty where it has not."""
    if workload.channel == "trades":
        expected = {"rows": len(workload.trade_ids)}
    else:
        expected = {"updates": sent.messages - sent.checksums, "checksums": sent.checksums, "mismatches": 0}
    wrong = {name: number for name, number in expected.items() if seen[name] not in (number, None)}
    return ", ".join(f"{seen[name]:,} {name}, not {number:,}" for name, number in wrong.items())


def notices(contestant: Contestant, fault: str) -> bool:
    """Whether a wrong "checksum", or a missing number of the "sequence", is noticed: nobody is sent all of it again."""
    try:
        run(contestant, Workload("fault", messages=2000, fault=fault))
    except Unsound:
        return True
    return False


class Race:
    """A workload and who runs it: one run each a round. What fails once is left out from then on, with its error."""

    def __init__(self, workload: Workload, contestants: list[Contestant], rounds: int) -> None:
        self.workload = workload
        self.rounds = rounds
        self._runs: dict[Contestant, list[Run]] = {one: [] for one in contestants}
        self._errors: dict[str, str] = {}

    def go(self) -> None:
        """Another round."""
        for contestant, runs in self._runs.items():
            if contestant.name in self._errors:
                continue
            try:
                runs.append(run(contestant, self.workload))
            except (RuntimeError, TimeoutError) as error:
                self._errors[contestant.name] = str(error)

    def figures(self) -> list[Figure]:
        """Of all rounds."""
        return [
            Figure(
                contestant.name,
                [1e6 * one.cpu / one.messages for one in runs],
                max(one.memory for one in runs),
                runs[-1].messages,
            )
            for contestant, runs in self._runs.items()
            if runs and contestant.name not in self._errors
        ] + [Figure(name, [], 0, 0, error) for name, error in self._errors.items()]


def compare(races: list[Race]) -> None:
    """All of them, round by round: an hour in which the machine is slow is in the figures of each, or in those of none."""
    for number in range(max(race.rounds for race in races)):
        for race in races:
            if number < race.rounds:
                race.go()
