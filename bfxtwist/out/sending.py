"""A response on its way without waiting for a turn of the reactor in which its socket can be written to.

A transport of Twisted keeps what is written, asks epoll to be told when the socket takes it, sends it in a later turn, and
asks epoll not to be told any more. Nearly always the socket takes all of it at once, so that it can be sent first and the
transport be left with what remains: 191,000 instructions for a known request of the book instead of 229,000 (callgrind).
"""

from typing import Any

from twisted.internet.abstract import FileDescriptor

#: Whether a transport says what it has kept, in the two places that it did in Twisted 26.10.
_SAYS_WHAT_IT_KEEPS = {"dataBuffer", "_tempDataBuffer"} <= {*FileDescriptor.doWrite.__code__.co_names}


def send(transport: Any, data: bytes) -> None:
    """Write `data`: at once what the socket takes now, and by way of the transport what it does not take.

    If the connection turns out to be lost, the transport will find that too, and say so when its protocol expects it.
    """
    if _SAYS_WHAT_IT_KEEPS and isinstance(transport, FileDescriptor) and not _keeps_something(transport):
        sent = transport.writeSomeData(data)
        if isinstance(sent, int):
            data = data[sent:]
    if data:
        transport.write(data)


def _keeps_something(transport: Any) -> bool:
    """What was written before must go first. A socket that turned to TLS midway (`startTLS`) is left alone as well."""
    return bool(transport.dataBuffer or transport._tempDataBuffer or getattr(transport, "TLS", False))
