"""One soak: two daemons and an exchange, a plan of faults, a look at everything once a second, and the judgement at the end.

One daemon, `killed`, is killed and started again all the time; the other, `lasting`, meets every other fault in one process,
so that its memory and its descriptors can be measured. Both record the same pairs to folders of their own, and at the end
each file must be the exchange's ledger.
"""

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bfxtwist.core.symbols import parse_pair
from bfxtwist.exchange.ledger import read_ledger
from tests.soak.measures import Counts, Sample, counters_of, lag_of
from tests.soak.plan import Event, plan
from tests.soak.processes import DaemonProcess, ExchangeProcess, Gone
from tests.truth import Verdict, judge

#: What a log must not have. Twisted writes the first, the second is what our own code logs of a bug.
_BUGS = re.compile(r"Traceback|Unhandled|a bug (?:in|while)")

#: How long the files may take to become whole once everything is well: open gaps are fetched again within ten minutes.
_WHOLE_WITHIN = 660.0

#: Before that the market goes on for a while with nothing going wrong: this part of the run, and no more than so long.
_CALM_PART = 0.1
_LONGEST_CALM = 300.0

#: A look at whether what is verified is really there comes at least so often, in seconds, where it is quickly done.
_JUDGE_EVERY = 60.0
_JUDGE_SHARE = 20  # and takes no more than one part in so many of the time


class Choices(NamedTuple):
    """What the user asked for."""

    minutes: float
    seed: int
    rate: float
    pairs: tuple[str, ...]
    folder: Path


class Watched:
    """A daemon, and what was seen of it."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.daemon = daemon
        self.samples: list[Sample] = []
        self.ends = Counts()
        self.counters = Counts()
        self.through: dict[str, int | None] = {}  # by symbol, as the sample before the last said
        self._through: dict[str, int | None] = {}

    def look(self, at: float, calm: float) -> None:
        """Once a second. One that does not answer just now is looked at again later."""
        status = self.daemon.get("/status") if self.daemon.running else None
        if not status or "recorders" not in status:
            return
        self.ends.seen(status["feed"].get("ends", {}))
        self.counters.seen(counters_of(status))
        self.through = self._through
        self._through = {symbol: one["verified_through"] for symbol, one in status["recorders"].items()}
        self.samples.append(Sample(at, self.daemon.resident, self.daemon.descriptors, lag_of(status), calm))

    def restarted(self) -> None:
        """Another process counts from here on."""
        self.ends.restarted()
        self.counters.restarted()
        self.through = self._through = {}


class Soak:
    """Runs, and keeps what the report says."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.symbols = [parse_pair(pair).symbol for pair in choices.pairs]
        self.faults: Counter[str] = Counter()
        self.kills = self.stops = 0
        self.problems: list[str] = []
        self.stop_seconds: list[float] = []
        self.looks = 0
        self.firsts: dict[Path, int] = {}  # the first id of each file, which must stay what it was
        self.whole_after = 0.0
        self.door: dict[str, int] = {}
        self.exchange = ExchangeProcess(choices.folder, seed=choices.seed, rate=choices.rate, symbols=self.symbols)
        more = ("--lock-folder", str(choices.folder))
        port = self.exchange.port
        self.killed = Watched(DaemonProcess("killed", choices.folder, choices.pairs, port, *more))
        self.lasting = Watched(DaemonProcess("lasting", choices.folder, choices.pairs, port, *more))
        self.both = (self.killed, self.lasting)
        self._began = time.monotonic()
        self._event_at = 0.0
        self._judged = (0.0, 0.0)  # when, and how long it took

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    # --- the run ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """The whole of it, to the end of every process."""
        try:
            for one in self.both:
                one.daemon.start()
            seconds = self.choices.minutes * 60
            for event in plan(self.choices.seed, seconds):
                self._watch_until(event.at)
                self._do(event)
            self._watch_until(seconds)
            self._finish()
        finally:
            for one in self.both:
                one.daemon.send(signal.SIGCONT)
                one.daemon.kill()
            self.exchange.stop()

    def _watch_until(self, at: float) -> None:
        while (left := at - self.now) > 0:
            time.sleep(min(left, 1.0))
            self._look()

    def _look(self) -> None:
        for one in self.both:
            if not one.daemon.running:
                self.problems.append(f"{one.daemon.name} ended by itself, with {one.daemon.ended(0)}: {one.daemon.log}")
                self._start(one)
            one.look(self.now, self.now - self._event_at)
        when, took = self._judged
        if self.now - when > max(_JUDGE_EVERY, _JUDGE_SHARE * took):
            began = self.now
            self._judge_what_is_verified()
            self._judged = self.now, self.now - began

    def _judge_what_is_verified(self) -> None:
        """Up to `verified_through` nothing may be missing, at any time, whatever goes wrong just then."""
        ledger = read_ledger(self.exchange.ledger)
        for one in self.both:
            for symbol, path in self._files(one):
                through = one.through.get(symbol)
                if through is None or not path.exists():
                    continue
                self.looks += 1
                verdict = judge(ledger[symbol], path, before=through)
                if self.firsts.setdefault(path, verdict.first) != verdict.first:
                    self.problems.append(f"at {self.now:.0f} s {path} began with another trade than before: {verdict.first}")
                if verdict.missing or verdict.twice:
                    self.problems.append(f"at {self.now:.0f} s {path}: {verdict}, of what is verified")

    def _files(self, one: Watched) -> Iterator[tuple[str, Path]]:
        data = one.daemon.folder / "data"
        for pair, symbol in zip(self.choices.pairs, self.symbols, strict=True):
            folder = data / parse_pair(pair).file_name if len(self.symbols) > 1 else data
            yield symbol, folder / "trade.csv"

    # --- what goes wrong --------------------------------------------------------------------------------------

    def _do(self, event: Event) -> None:
        with (self.choices.folder / "events.log").open("a") as log:
            log.write(f"{self.now:9.2f} {event.what}  ({event.of})\n")
        self.faults[event.of] += event.first
        self._event_at = self.now
        if event.what.startswith(("set ", "clear ")):
            self.exchange.tell(event.what)
        else:
            self._deed(event.what)

    def _deed(self, what: str) -> None:
        match what:
            case "kill":
                self.killed.daemon.kill()
                self.kills += 1
                self._start(self.killed)
            case "restart":
                self._stop(self.killed)
                self.stops += 1
                self._start(self.killed)
            case "disk-full":
                for one in self.both:
                    one.daemon.fill_disk(room=777)
            case "-disk-full":
                for one in self.both:
                    one.daemon.free_disk()
            case _:
                number = {"freeze": signal.SIGSTOP, "-freeze": signal.SIGCONT, "hangup": signal.SIGHUP}[what]
                for one in self.both:
                    one.daemon.send(number)

    def _start(self, one: Watched) -> None:
        one.restarted()
        try:
            one.daemon.start()
        except Gone as error:
            self.problems.append(str(error))

    def _stop(self, one: Watched) -> None:
        code, seconds = one.daemon.terminate()
        self.stop_seconds.append(seconds)
        if code != -signal.SIGTERM:
            self.problems.append(f"{one.daemon.name} was stopped and ended with {code} after {seconds:.1f} s")

    # --- the end ----------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Everything is well again: the files become whole, and the daemons stop."""
        self.exchange.tell("clear")
        self._event_at = self.now
        self._watch_until(self.now + min(_CALM_PART * self.choices.minutes * 60, _LONGEST_CALM))
        end = self.now + _WHOLE_WITHIN
        self.exchange.tell("set quiet")
        while self.now < end and not all(verdict.equal for _, verdict in self.verdicts()):
            self._watch_until(self.now + 5)
        self.whole_after = self.now - (end - _WHOLE_WITHIN)
        for one in self.both:
            one.look(self.now, 0.0)
            self._stop(one)
        self.door = self.exchange.state()

    def verdicts(self) -> list[tuple[str, Verdict]]:
        """Of each file, by a name for people."""
        ledger = read_ledger(self.exchange.ledger)
        return [
            (f"{one.daemon.name} {symbol}", judge(ledger[symbol], path))
            for one in self.both
            for symbol, path in self._files(one)
        ]

    def bugs(self) -> list[str]:
        """Lines of the logs that nobody should see."""
        logs = [log for one in self.both for log in one.daemon.logs] + [self.choices.folder / "exchange.log"]
        return [f"{log}: {line}" for log in logs for line in log.read_text().splitlines() if _BUGS.search(line)]
