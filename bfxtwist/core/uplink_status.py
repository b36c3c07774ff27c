"""What is told of the connections to the exchange. `feed/` says it and `out/` shows it: neither knows the other."""

from enum import StrEnum

import msgspec

from bfxtwist.core.channels import Tally


class ConnectionState(StrEnum):
    """What is being done about a connection."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    OPEN = "open"
    STOPPED = "stopped"


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /status` says of one connection."""

    number: int
    state: ConnectionState
    session: str | None  # its state in small letters, while the WebSocket is open
    since: str
    channels: int
    last_end: str | None


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of the last minute, and seconds for which none is allowed; None where that cannot be read just now."""

    used: int | None
    of: int
    blocked_s: float | None


class UplinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /status` says of all connections, member by member, by names that readers know."""

    url: str
    connections: list[ConnectionStatus]
    ends: dict[str, int]  # by the word for what ended a connection or an attempt
    budget: BudgetStatus
    counters: Tally
