"""One connection's conversation, from hello to close: payloads in, facts into the market, requests out.

    OPENING      ── the socket is open ──►  HELLO
    HELLO        <- {"event":"info","version":2,"platform":{"status":1}}
                 -> {"event":"conf","flags":229376}                        CONFIGURING
    CONFIGURING  <- {"event":"conf","status":"OK","flags":229376}          READY
    READY        -> {"event":"subscribe",…} for everything that is wanted; see channel.py
                 -> {"event":"ping","cid":1} every 20 s
                 <- {"event":"info","code":20060}                          MAINTENANCE
    MAINTENANCE  <- {"event":"info","code":20061}                          READY, every channel anew
    any          ── an ExchangeError, or the socket closes ──►  CLOSED

`_REACTIONS` decides every kind of message in every state. There is no I/O here and no clock: whoever owns the socket calls
`opened`, `received`, `tick` about once a second, and `ended`, and sends what `send` is given. An ExchangeError that leaves
this module ends the connection. What is wrong with one channel only is dealt with inside.

Sequence numbers are counted over every array frame from the conf on, before anything else is looked at: one counter a socket
over all channels, those not acknowledged yet and those already left included (xchange-stream #284, ccxws #236).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from math import inf
from typing import Any

from bfxtwist.core.channel import SILENCE
from bfxtwist.core.channels import Channels, SessionObserver, Tally
from bfxtwist.core.errors import (
    ConfRefused,
    ConnectionSilent,
    MaintenanceTooLong,
    SequenceLost,
    ServerRestarting,
    Unanswered,
    UnsupportedVersion,
    WrongAnswer,
)
from bfxtwist.core.market import Market
from bfxtwist.core.messages import (
    BookUpdate,
    Checksum,
    Code,
    Conf,
    ConfAck,
    ConfFlags,
    Event,
    Frame,
    Heartbeat,
    Info,
    Ping,
    Pong,
    Refused,
    Rows,
    Run,
    Subscribed,
    TradeExecuted,
    UnknownEvent,
    UnknownFrame,
    Unsubscribed,
)
from bfxtwist.core.moment import Moment
from bfxtwist.core.runs import cut, decode_together
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.wire import decode

#: Without these nothing is verified.
NEEDED = ConfFlags.SEQ_ALL | ConfFlags.OB_CHECKSUM

#: What is asked for. The timestamp tells how far behind the exchange we are; flags have gone before (DEC_S, TIME_S).
FLAGS = NEEDED | ConfFlags.TIMESTAMP

VERSION = 2

#: The greeting comes with the first packet, the conf's acknowledgement one round trip later (0.2 s, measured in 2026).
HELLO_TIMEOUT = 15.0

#: A socket without subscriptions is dropped after 60 s without a client's frame (measured in 2026).
PING_EVERY = 20.0

#: How long maintenance may last before a client should connect anew (docs ws-general).
LONGEST_MAINTENANCE = 120.0

#: `tick` is called once a second. When it comes so late, the process was held up, and what came meanwhile is not read yet.
LATE_TICK = 5.0

#: Fewer frames are decoded one by one. A batch has 5 to 30 of them (recorded in 2018) and finds the caches cold: one by one,
#: they cost no more then, and the first is in the book sooner (the median of a batch of 20 after 0.32 ms instead of 0.37).
TOGETHER = 32

#: Unknown events and kinds of frames are logged by name, so many names a connection, of so many characters.
MOST_NAMES = 20
LONGEST_NAME = 80


class SessionState(Enum):
    """How far the conversation has come."""

    OPENING = auto()
    HELLO = auto()
    CONFIGURING = auto()
    READY = auto()
    MAINTENANCE = auto()
    CLOSED = auto()


class Session:
    """One conversation.

    `market` must carry every subscription. `tally` goes on from session to session. Every method that takes a moment, except
    `ended`, may raise an ExchangeError, after which the connection is of no use: drop it and call `ended`.
    """

    def __init__(
        self,
        market: Market,
        subscriptions: Iterable[Subscription],
        send: Callable[[bytes], None],
        observer: SessionObserver,
        tally: Tally,
    ) -> None:
        self.operative = True
        self.ready_at: Moment | None = None
        self._send = send
        self._observer = observer
        self._tally = tally
        self._channels = Channels(market, send, observer, tally)
        self._next_seq = 0  # until the first one has come
        self._heard = inf
        self._ticked = inf
        self._ping_at = inf
        self._pings = 0
        self._names: set[str] = set()
        self._enter(SessionState.OPENING)
        for subscription in subscriptions:
            self._channels.add(subscription)

    @property
    def subscriptions(self) -> list[Subscription]:
        """What this conversation is about."""
        return [channel.subscription for channel in self._channels]

    # --- what the owner of the socket calls -----------------------------------------------------------------

    def opened(self, moment: Moment) -> None:
        """The socket is open; the server speaks first."""
        self._heard = self._ticked = moment.monotonic
        self._enter(SessionState.HELLO, moment.monotonic + HELLO_TIMEOUT)

    def received(self, payloads: Sequence[bytes], moment: Moment) -> None:
        """Take in text frames that came together, in their order."""
        self._tally.frames += len(payloads)
        self._tally.bytes += sum(map(len, payloads))
        self._heard = moment.monotonic
        if len(payloads) >= TOGETHER and self.state is SessionState.READY:
            together = decode_together(payloads)
            if together is not None:
                self._together(together, moment)
                return
        for payload in payloads:
            message = decode(payload)
            self._react[type(message)](self, message, moment)

    def tick(self, moment: Moment) -> None:
        """Do what is due."""
        now = moment.monotonic
        late = now - self._ticked > LATE_TICK
        self._ticked = now
        if late:
            self._channels.held_up(moment)
            return
        match self.state:
            case SessionState.HELLO | SessionState.CONFIGURING if now >= self._due:
                raise Unanswered(f"{self.state.name.lower()}: no answer within {HELLO_TIMEOUT:g} s")
            case SessionState.MAINTENANCE if now >= self._due:
                raise MaintenanceTooLong(f"no end of maintenance within {LONGEST_MAINTENANCE:g} s")
            case SessionState.MAINTENANCE:
                self._ping(now)
            case SessionState.READY:
                if now - self._heard > SILENCE:
                    raise ConnectionSilent(f"no message for {now - self._heard:.0f} s")
                self._ping(now)
                self._channels.tick_all(moment)

    def ended(self, reason: str, moment: Moment) -> None:
        """The connection is gone, or must go. Whatever comes after this call does nothing."""
        if self.state is not SessionState.CLOSED:
            self._enter(SessionState.CLOSED)
            self._channels.lost(reason, moment)

    def want(self, subscription: Subscription, moment: Moment) -> None:
        """Subscribe this too."""
        channel = self._channels.add(subscription)
        if self.state is SessionState.READY:
            self._channels.tick(channel, moment)

    def drop(self, subscription: Subscription, moment: Moment) -> None:
        """Do not subscribe this any more. Raises KeyError for what never was."""
        self._channels.drop(subscription, moment)

    # --- array frames ---------------------------------------------------------------------------------------------

    def _together(self, messages: Iterable[Run | Frame | Event], moment: Moment) -> None:
        """Frames that came together, none of which changes the state."""
        for message in messages:
            if isinstance(message, Run):
                self._run(message, moment)
            else:
                self._react[type(message)](self, message, moment)
        self._channels.settle(moment)

    def _run(self, run: Run, moment: Moment) -> None:
        """Raises SequenceLost at the number that is not the next one. What comes before it is good."""
        following = self._next_seq or run.seqs[0]
        expected = range(following, following + len(run.seqs))
        if run.seqs == tuple(expected):
            self._next_seq = expected.stop
            self._channels.received_together(run, moment)
            return
        good = next(index for index, (seq, number) in enumerate(zip(run.seqs, expected, strict=True)) if seq != number)
        self._next_seq = expected[good]
        if good:
            self._channels.received_together(cut(run, 0, good), moment)
        raise SequenceLost(self._next_seq, run.seqs[good])

    def _frame(self, frame: Frame, moment: Moment) -> None:
        if frame.seq == self._next_seq:
            self._next_seq += 1
        else:
            self._begin_sequence(frame.seq)
        self._channels.received(frame.channel_id, frame, 1, moment)

    def _idle_frame(self, frame: Frame, _moment: Moment) -> None:
        """In maintenance: what comes is not used, but it is counted."""
        if frame.seq == self._next_seq:
            self._next_seq += 1
        else:
            self._begin_sequence(frame.seq)

    def _early_frame(self, _frame: Frame, _moment: Moment) -> None:
        """Before the conf is acknowledged nothing is subscribed and nothing is numbered."""
        self._tally.stray_frames += 1

    def _begin_sequence(self, seq: int | None) -> None:
        """The first number is taken as it is: nothing that is held can have been lost before it. Raises SequenceLost."""
        if seq is None or self._next_seq:
            raise SequenceLost(self._next_seq, seq)
        self._next_seq = seq + 1

    # --- events ---------------------------------------------------------------------------------------------------

    def _greeted(self, info: Info, moment: Moment) -> None:
        if info.code is None and info.version != VERSION:
            raise UnsupportedVersion(f"version {info.version}, not {VERSION}")
        self._informed(info, moment)
        if info.code is None:
            self._enter(SessionState.CONFIGURING, moment.monotonic + HELLO_TIMEOUT)
            self._send(Conf(FLAGS).encode())

    def _informed(self, info: Info, moment: Moment) -> None:
        """A notice: the code decides, never the text (docs ws-general)."""
        if info.operative is not None:
            self.operative = info.operative
        if info.code == Code.RESTART:
            raise ServerRestarting(info.text or "the server stops")
        if info.code == Code.MAINTENANCE_START:
            self._begin_maintenance(moment)
        elif info.code == Code.MAINTENANCE_END:
            self._end_maintenance(moment)
        elif info.code is not None:
            self._observer.noted("the exchange says: {text} ({code})", text=info.text, code=info.code)

    def _begin_maintenance(self, moment: Moment) -> None:
        self.operative = False
        if self.state is SessionState.READY:
            self._enter(SessionState.MAINTENANCE, moment.monotonic + LONGEST_MAINTENANCE)
            self._channels.lost("the exchange is in maintenance", moment)

    def _end_maintenance(self, moment: Moment) -> None:
        self.operative = True
        if self.state in (SessionState.READY, SessionState.MAINTENANCE):
            self._enter(SessionState.READY)
            self._channels.renew_all(moment)

    def _check_flags(self, ack: ConfAck, _moment: Moment) -> None:
        if not ack.ok or ack.flags & NEEDED != NEEDED:
            raise ConfRefused(f"asked for {int(FLAGS)}, granted {ack.flags}, {'ok' if ack.ok else 'not ok'}")
        if not ack.flags & ConfFlags.TIMESTAMP:
            self._observer.noted("the exchange tells no times: what had to wait on its way is not known to be old")

    def _configured(self, ack: ConfAck, moment: Moment) -> None:
        self._check_flags(ack, moment)
        self._enter(SessionState.READY)
        self.ready_at = moment
        self._ping_at = moment.monotonic + PING_EVERY
        self._channels.tick_all(moment)

    def _conf_refused(self, refusal: Refused, _moment: Moment) -> None:
        raise ConfRefused(f"{refusal.text} ({refusal.code})")

    def _refused(self, refusal: Refused, moment: Moment) -> None:
        self._tally.refusals += 1
        if refusal.code == Code.CONF_FAILED:
            self._conf_refused(refusal, moment)
        self._channels.refused(refusal, self.operative, moment)

    def _refused_early(self, refusal: Refused, _moment: Moment) -> None:
        self._tally.refusals += 1
        self._observer.noted("the exchange refuses: {text} ({code})", text=refusal.text, code=refusal.code)

    def _subscribed(self, ack: Subscribed, moment: Moment) -> None:
        self._channels.subscribed(ack, moment)

    def _unsubscribed(self, ack: Unsubscribed, moment: Moment) -> None:
        self._channels.unsubscribed(ack.channel_id, self.operative, moment)

    def _unasked(self, message: ConfAck | Subscribed | Unsubscribed, _moment: Moment) -> None:
        raise WrongAnswer(f"never asked for: {message}")

    def _pong(self, _message: Pong, _moment: Moment) -> None:
        self._tally.pongs += 1

    def _unknown_event(self, event: UnknownEvent, _moment: Moment) -> None:
        self._unknown("unknown event {name!r}", event.name)

    def _unknown_frame(self, frame: UnknownFrame, moment: Moment) -> None:
        if frame.kind:
            self._unknown("unknown kind of message {name!r}", frame.kind)
        self._frame(frame, moment)

    def _unknown(self, text: str, name: str) -> None:
        self._tally.unknown_events += 1
        name = name[:LONGEST_NAME]
        if name not in self._names and len(self._names) < MOST_NAMES:
            self._names.add(name)
            self._observer.noted(text, name=name)

    def _ignored(self, _message: Frame | Event, _moment: Moment) -> None:
        """There is no conversation yet, or no longer."""

    def _ping(self, now: float) -> None:
        if now >= self._ping_at:
            self._ping_at = now + PING_EVERY
            self._pings += 1
            self._send(Ping(self._pings).encode())

    def _enter(self, state: SessionState, due: float = inf) -> None:
        """`due` is when the greeting, the conf's acknowledgement or the end of maintenance must be here."""
        self.state = state
        self._due = due
        self._react = _REACTIONS[state]


_Reaction = Callable[[Session, Any, Moment], None]
_Reactions = Mapping[type, _Reaction]


def _frames(reaction: _Reaction) -> _Reactions:
    return dict.fromkeys((BookUpdate, Rows, TradeExecuted, Checksum, Heartbeat, UnknownFrame), reaction)


def _table() -> Mapping[SessionState, _Reactions]:
    s = Session
    always: _Reactions = {Pong: s._pong, UnknownEvent: s._unknown_event}
    early: _Reactions = {**always, **_frames(s._early_frame), Subscribed: s._unasked, Unsubscribed: s._unasked}
    late: _Reactions = {**always, Info: s._informed, ConfAck: s._check_flags, Refused: s._refused}
    late = {**late, **_frames(s._frame), UnknownFrame: s._unknown_frame}
    late = {**late, Subscribed: s._subscribed, Unsubscribed: s._unsubscribed}
    return {
        SessionState.OPENING: dict.fromkeys(late, s._ignored),
        SessionState.HELLO: {**early, Info: s._greeted, ConfAck: s._unasked, Refused: s._refused_early},
        SessionState.CONFIGURING: {**early, Info: s._informed, ConfAck: s._configured, Refused: s._conf_refused},
        SessionState.READY: late,
        SessionState.MAINTENANCE: {**late, **_frames(s._idle_frame)},
        SessionState.CLOSED: dict.fromkeys(late, s._ignored),
    }


#: What each kind of message means in each state.
_REACTIONS = _table()
