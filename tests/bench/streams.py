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


def compare(contestants: list[Contestant], workload: Workload, rounds: int) -> list[Figure]:
    """Rounds of one run each. What fails once is left out from then on, with its error in `seen`."""
    runs: dict[str, list[Run]] = {one.name: [] for one in contestants}
    errors: dict[str, str] = {}
    for _round in range(rounds):
        for contestant in contestants:
            if contestant.name in errors:
                continue
            try:
                runs[contestant.name].append(run(contestant, workload))
            except (RuntimeError, TimeoutError) as error:
                errors[contestant.name] = str(error)
    return [
        Figure(
            name,
            [1e6 * one.cpu / one.messages for one in done],
            max(one.memory for one in done),
            done[-1].seen,
        )
        for name, done in runs.items()
        if done and name not in errors
    ] + [Figure(name, [], 0, {"error": error}) for name, error in errors.items()]
