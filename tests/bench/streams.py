"""CPU time per message, each contestant kept busy with the same stream, in turns."""

from statistics import median
from typing import Any, NamedTuple

from tests.bench.contestants import Contestant, Running
from tests.bench.cpu import cpu_seconds, memory, wait_idle
from tests.bench.replay import Replay
from tests.bench.script import Workload


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
    seen: dict[str, Any]

    @property
    def median(self) -> float:
        return median(self.micros)


def run(contestant: Contestant, workload: Workload) -> Run:
    """One run, from a fresh process to its end."""
    with Replay(workload) as replay, Running(contestant, workload, replay) as running:
        wait_idle(running.pid)
        before = cpu_seconds(running.pid)
        messages = replay.stream()
        after = wait_idle(running.pid)
        most = memory(running.pid)[1]
        seen = running.finish()
    seen.pop("arrived", None)
    # Some clients do not show checksums to who listens. Who misses more than those has lost something, and is no measure.
    if seen["messages"] < 0.97 * messages:
        raise RuntimeError(f"{contestant.name} took in {seen['messages']:,} of {messages:,} messages")
    return Run(messages, after - before, most, {**seen, "of": messages})


class Race:
    """A workload and who runs it: one run each a round. What fails once is left out from then on, its error in `seen`."""

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
                runs[-1].seen,
            )
            for contestant, runs in self._runs.items()
            if runs and contestant.name not in self._errors
        ] + [Figure(name, [], 0, {"error": error}) for name, error in self._errors.items()]


def compare(races: list[Race]) -> None:
    """All of them, round by round: an hour in which the machine is slow is in the figures of each, or in those of none."""
    for number in range(max(race.rounds for race in races)):
        for race in races:
            if number < race.rounds:
                race.go()
