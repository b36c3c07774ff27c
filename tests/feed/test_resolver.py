"""Names to addresses."""

import threading
from collections.abc import Callable
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from bfxtwist.feed.resolver import OneAtATime

V4 = (2, 1, 6, "", ("192.0.2.1", 443))
V6 = (10, 1, 6, "", ("2001:db8::1", 443, 0, 0))


@implementer(IResolutionReceiver)
class Receiver:
    """Fires `done` with the addresses."""

    def __init__(self) -> None:
        self.addresses: list[IAddress] = []
        self.done: Deferred[list[IAddress]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self.name = resolutionInProgress.name

    def addressResolved(self, address: IAddress) -> None:
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.done.callback(self.addresses)


class Questions(TestCase):
    """One at a time for each name."""

    def ask(self, resolver: OneAtATime, name: str = "exchange.test") -> Receiver:
        receiver = Receiver()
        resolver.resolveHostName(receiver, name, 443)
        self.assertEqual(receiver.name, name)
        return receiver

    async def test_all_addresses_of_both_kinds(self) -> None:
        asked: list[Any] = []

        def ask(*question: Any) -> list[Any]:
            asked.append(question)
            return [V6, V4]

        addresses = await self.ask(OneAtATime(reactor, ask)).done
        self.assertEqual(addresses, [IPv6Address("TCP", "2001:db8::1", 443), IPv4Address("TCP", "192.0.2.1", 443)])
        self.assertEqual(asked, [("exchange.test", 443, 0, 1)])

    async def test_only_one_kind(self) -> None:
        asked: list[Any] = []

        def ask(*question: Any) -> list[Any]:
            asked.append(question)
            return [V4]

        receiver = Receiver()
        OneAtATime(reactor, ask).resolveHostName(receiver, "exchange.test", 443, [IPv4Address])
        await receiver.done
        self.assertEqual(asked[0][2], 2)

    async def test_no_such_name(self) -> None:
        for error in (OSError("no such name"), UnicodeError("label too long")):
            self.assertEqual(await self.ask(OneAtATime(reactor, self.failing(error))).done, [])

    async def test_a_name_server_that_hangs_takes_one_thread(self) -> None:
        answer, asked = Event(), []

        def ask(*question: Any) -> list[Any]:
            asked.append(question)
            answer.wait(10)
            return [V4]

        resolver = OneAtATime(reactor, ask)
        receivers = [self.ask(resolver) for _ in range(100)]
        answer.set()
        for receiver in receivers:
            self.assertEqual(len(await receiver.done), 1)
        self.assertEqual(len(asked), 1)
        await self.ask(resolver).done
        self.assertEqual(len(asked), 2, "and the next one asks again")

    async def test_after_a_bug_it_answers_again(self) -> None:
        printed: list[Any] = []
        self.patch(threading, "excepthook", printed.append)
        answers: list[list[Any]] = [[(99, 1, 6, "", ("no", "family"))], [V4]]
        resolver = OneAtATime(reactor, lambda *_question: answers.pop(0))
        self.assertEqual([len(await self.ask(resolver).done) for _ in range(2)], [0, 1])
        self.assertEqual(len(printed), 1)

    async def test_where_no_more_threads_are_allowed_the_next_question_is_asked_again(self) -> None:
        def refuse(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        resolver = OneAtATime(reactor, lambda *_question: [V4])
        full = self.patch(threading.Thread, "start", refuse)
        self.assertEqual(await self.ask(resolver).done, [])
        full.restore()
        self.assertEqual(len(await self.ask(resolver).done), 1)

    async def test_the_real_one(self) -> None:
        addresses = await self.ask(OneAtATime(reactor), "127.0.0.1").done
        self.assertEqual(addresses, [IPv4Address("TCP", "127.0.0.1", 443)])

    def failing(self, error: Exception) -> Callable[..., Any]:
        def ask(*_question: Any) -> None:
            raise error

        return ask
