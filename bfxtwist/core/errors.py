"""What can be wrong with the exchange's word, and whether the connection must end for it.

Only the exchange's faults live here. What the user asked for in vain is a ValueError at start, on the command line a
`usage.UsageError`; anything else is a bug and is logged as one.
"""

from typing import ClassVar


class ExchangeError(Exception):
    """The exchange broke its word, refused, or fell silent.

    `reason` is a short word for logs and counters; `ends_connection` says whether what the socket still brings can be used.
    """

    reason: ClassVar[str] = "exchange"
    ends_connection: ClassVar[bool] = True

    def __str__(self) -> str:
        """One line, whatever the exchange has said: it goes to logs, and into answers."""
        return one_line(super().__str__())


class MalformedMessage(ExchangeError):
    """A frame that is no message of the protocol: what it meant to say is lost, so the connection's state is too."""

    reason = "malformed"

    def __init__(self, why: str, payload: bytes) -> None:
        super().__init__(f"{why}: {excerpt(payload)}")


class SequenceLost(ExchangeError):
    """The sequence number of a frame did not follow its forerunner's: frames were lost or repeated."""

    reason = "sequence"

    def __init__(self, expected: int, received: int | None) -> None:
        super().__init__(f"expected sequence number {expected}, received {received}")


class UnsupportedVersion(ExchangeError):
    """The server speaks another major version; the documents tell a client to refuse it (docs ws-general)."""

    reason = "version"


class ConfRefused(ExchangeError):
    """The server did not grant the flags without which nothing can be verified."""

    reason = "conf"


class ServerRestarting(ExchangeError):
    """Info code 20051: the server stops; connect again."""

    reason = "restart"


class MaintenanceTooLong(ExchangeError):
    """Info code 20060 was not followed by 20061 within the documented 120 s."""

    reason = "maintenance"


class ConnectionSilent(ExchangeError):
    """No frame for more than two heartbeats."""

    reason = "silence"


class Unanswered(ExchangeError):
    """No greeting, or no answer to a request in time, and asking again on this connection is of no use."""

    reason = "unanswered"


class WrongAnswer(ExchangeError):
    """An acknowledgement for something that was never asked for, or with a channel id that another channel has."""

    reason = "wrong-answer"


class HandshakeRefused(ExchangeError):
    """The server did not answer the handshake with 101. `status` is its HTTP status, None where it was no HTTP at all.

    In maintenance Bitfinex answers 408 and 503, over the connection limit 429 (bitfinex-api-node #528, #266).
    `retry_after` is what the answer's header of that name asks for, in seconds.
    """

    reason = "handshake"

    def __init__(self, why: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.retry_after = retry_after


class ConnectionEnded(ExchangeError):
    """The other side closed the connection, or the network did."""

    reason = "lost"


class ChannelWrong(ExchangeError):
    """One channel is not what was subscribed. It alone is subscribed again.

    More than `tolerated` of these `within` so many seconds, and subscribing again is of no use: see `StillWrong`. For that
    the connection, with all its other channels, is ended at most once in `spares` seconds.
    """

    reason = "channel"
    ends_connection = False
    tolerated: ClassVar[int] = 2
    within: ClassVar[float] = 60.0
    spares: ClassVar[float] = 0.0


class StillWrong(ExchangeError):
    """A channel went wrong again and again although it was subscribed anew each time (Krypto-trading-bot #1018)."""

    reason = "still-wrong"


class SnapshotMissing(ChannelWrong):
    """Something else than a heartbeat came before the snapshot."""

    reason = "no-snapshot"


class ChannelSilent(ChannelWrong):
    """No frame for more than two heartbeats, or no snapshot, while the connection itself is alive."""

    reason = "channel-silence"
    tolerated = 1
    within = 120.0


class BookWrong(ChannelWrong):
    """A book that cannot be right.

    A new connection may lead to a server that has it right. If not, it is this book that the exchange gets wrong, as it does
    all funding books (bitfinex-api-py #19), and the others need not suffer for it.
    """

    reason = "book"
    spares = 600.0


class ChecksumMismatch(BookWrong):
    """The book's CRC-32 is not the one that the exchange sent."""

    reason = "checksum"

    def __init__(self, expected: int, computed: int) -> None:
        super().__init__(f"checksum {expected} sent, {computed} computed")


class BookCrossed(BookWrong):
    """The best bid has been at or above the best ask for too long."""

    reason = "crossed"


class BookTooDeep(BookWrong):
    """Many more levels than were asked for: deletes were lost."""

    reason = "depth"


#: Bytes of a payload in a log line. As escapes, each may take four characters.
_EXCERPT = 80


def excerpt(payload: bytes) -> str:
    """The head of a payload, printable and bounded, for a log line."""
    shown = one_line(payload[:_EXCERPT].decode("ascii", "backslashreplace"), 4 * _EXCERPT)
    return shown if len(payload) <= _EXCERPT else f"{shown}… ({len(payload)} bytes)"


def one_line(text: str, limit: int = 300) -> str:
    """The head of a text that is another program's, printable and bounded."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:limit])
    return shown if len(text) <= limit else f"{shown}…"
