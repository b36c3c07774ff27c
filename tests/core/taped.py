"""A tape that is driven by hand: an exchange without sockets, and a file that is a list of ids."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import Mark
from bfxtwist.core.history import Page, PageRequest
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.limits import Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.moment import Moment
from bfxtwist.core.progress import Progress
from bfxtwist.core.trades import Tape
from tests.model_exchange import ModelExchange


class TapeTest(SynchronousTestCase):
    """A tape, an exchange, and a file that is a list of ids."""

    limits = Limits(page=6, held_back=12, recent=40)

    def setUp(self) -> None:
        self.clock = Clock()
        self.exchange = ModelExchange(self.clock)
        self.tape = Tape(KnownIds(), Progress(), self.limits)
        self.file: list[int] = []

    # --- driving ------------------------------------------------------------------------------------------

    @property
    def moment(self) -> Moment:
        """Now."""
        return self.exchange.moment()

    @property
    def progress(self) -> Progress:
        """Of the comparison."""
        return self.tape.comparison.progress

    def resume(self, known: list[int], progress: Progress, newest: Mark | None = None) -> None:
        """A tape as a new process has it."""
        self.file = list(known)
        self.tape = Tape(KnownIds(known), progress, self.limits, newest)

    def write(self) -> None:
        """What was released is in the file."""
        self.file += [arrival.trade.id for arrival in self.tape.released()]
        self.tape.written()

    def connect(self, count: int = 5) -> None:
        """A snapshot of so many trades."""
        self.tape.snapshot(self.exchange.snapshot(count), self.moment)
        self.write()

    def live(self) -> None:
        """Connected for the first time, with one trade on file."""
        self.trade()
        self.connect()

    def cut_off(self, reason: str) -> None:
        """Live, and then not any more."""
        self.live()
        self.tape.lost(reason)

    def tell(self, *trades: Trade) -> None:
        """On the socket."""
        for trade in trades:
            self.tape.executed([trade], self.moment)
        self.write()

    def tell_together(self, *trades: Trade) -> None:
        """On the socket, at once."""
        self.tape.executed(trades, self.moment)
        self.write()

    def trade(self, told: bool = True, pause: float = 1.0, publish_after: float = 0.0, skew: int = 0) -> Trade:
        """One trade, and a second."""
        made = self.exchange.trade(publish_after=publish_after, skew=skew)
        if told:
            self.tell(made.told)
        self.clock.advance(pause)
        return made.told

    def missed(self, count: int, pause: float = 1.0) -> None:
        """So many trades of which the socket tells nothing."""
        for _ in range(count):
            self.trade(told=False, pause=pause)

    def save(self) -> None:
        """The progress is durable, and what was released for it is in the file."""
        self.tape.saved(self.tape.comparison.revision, self.moment)
        self.write()

    def ask(self, write: bool = True) -> PageRequest | None:
        """One page, answered if it was asked for."""
        request = self.tape.request(self.moment)
        if request is not None:
            page: list[Page] = []
            coroutine = self.exchange.page("tBTCUSD", request)
            try:
                coroutine.send(None)
            except StopIteration as result:
                page.append(result.value)
            self.tape.page(page[0], self.moment)
            if write:
                self.write()
        return request

    def wait(self, seconds: float, save: bool = True) -> None:
        """Time passes, pages are asked for as they are wanted, and progress is saved at once."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.tape.tick(self.moment)
            while self.ask():
                pass
            if save:
                self.tape.saved(self.tape.comparison.revision, self.moment)
            self.write()

    def everything(self) -> list[int]:
        """All ids of the exchange."""
        return sorted(self.exchange.ledger)
