"""Names to addresses: one question at a time for each name, in a thread that nobody waits for.

Twisted asks `getaddrinfo` in the reactor's thread pool. When the name server is gone each question takes half a minute or
more and cannot be called back; the questions of every retry pile up there, keep the disk's work waiting, and at the end of
the process the pool waits for them.
"""

from collections.abc import Callable, Sequence
from socket import AF_INET, AF_INET6, AF_UNSPEC, SOCK_DGRAM, SOCK_STREAM, getaddrinfo
from threading import Thread
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorFromThreads,
    IResolutionReceiver,
)
from twisted.logger import Logger
from zope.interface import implementer

_log = Logger()

_FAMILIES = {frozenset({IPv4Address}): AF_INET, frozenset({IPv6Address}): AF_INET6}
_ADDRESSES: dict[int, Callable[..., IAddress]] = {AF_INET: IPv4Address, AF_INET6: IPv6Address}


class _Question(NamedTuple):
    name: str
    port: int
    family: int
    transport: str


@implementer(IHostResolution)
class _Resolution:
    """One asker's part in a question."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """There is no calling back `getaddrinfo`."""
        raise NotImplementedError


@implementer(IHostnameResolver)
class OneAtATime:
    """A resolver for the `installNameResolver` of this reactor. `ask` is `getaddrinfo` but for tests."""

    def __init__(self, reactor: Any, ask: Callable[..., Any] = getaddrinfo) -> None:
        self._reactor: IReactorFromThreads = reactor
        self._ask = ask
        self._waiting: dict[_Question, list[IResolutionReceiver]] = {}

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Tell the receiver every address of the name; none when it has none or nobody answers."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        family = _FAMILIES.get(frozenset(addressTypes or ()), AF_UNSPEC)
        question = _Question(hostName, portNumber, family, transportSemantics)
        waiting = self._waiting.setdefault(question, [])
        waiting.append(resolutionReceiver)
        if len(waiting) == 1:
            self._begin(question)
        return resolution

    def _begin(self, question: _Question) -> None:
        try:
            Thread(target=self._in_thread, args=(question,), name=f"name {question.name}", daemon=True).start()
        except RuntimeError as error:  # the process may have no more threads; the next try may
            _log.warn("{name} cannot be looked up: {error}", name=question.name, error=error)
            self._answer(question, ())

    def _in_thread(self, question: _Question) -> None:
        kind = SOCK_STREAM if question.transport == "TCP" else SOCK_DGRAM
        addresses: list[IAddress] = []
        try:
            answers = self._ask(question.name, question.port, question.family, kind)
            addresses = [_ADDRESSES[family](question.transport, *sockaddr) for family, _, _, _, sockaddr in answers]
        except (OSError, UnicodeError):  # no such name, no name server; a name that IDNA cannot say
            pass
        finally:  # also of a bug, whose traceback Python prints: who waits, and all who ask after that, must not for ever
            self._reactor.callFromThread(self._answer, question, addresses)

    def _answer(self, question: _Question, addresses: Sequence[IAddress]) -> None:
        for receiver in self._waiting.pop(question):
            for address in addresses:
                receiver.addressResolved(address)
            receiver.resolutionComplete()
