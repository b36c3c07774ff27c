"""What is sent at once, what is left to the transport, and that the bytes stay in order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.out import sending
from bfxtwist.out.sending import send


class Socket(FileDescriptor):
    """Takes so many bytes each time, or is lost."""

    def __init__(self, takes: list[int]) -> None:
        super().__init__(MemoryReactor())
        self.connected = 1
        self.takes = takes
        self.sent = b""

    def writeSomeData(self, data: Any) -> int | BaseException:
        count = self.takes.pop(0) if self.takes else len(data)
        if count < 0:
            return CONNECTION_LOST
        taken = bytes(data[:count])
        self.sent += taken
        return len(taken)

    @property
    def waits(self) -> bool:
        return self in self.reactor.getWriters()


class SendTests(SynchronousTestCase):
    def test_what_the_socket_takes_is_sent_at_once(self) -> None:
        socket = Socket([])
        send(socket, b"answer")
        self.assertEqual((socket.sent, socket.waits), (b"answer", False))

    def test_what_it_does_not_take_goes_later(self) -> None:
        for takes in ([2], [0]):
            socket = Socket(takes)
            send(socket, b"answer")
            self.assertTrue(socket.waits)
            socket.doWrite()
            self.assertEqual((socket.sent, socket.waits), (b"answer", False))

    def test_what_was_written_before_goes_first(self) -> None:
        socket = Socket([])
        socket.write(b"first ")
        send(socket, b"second")
        self.assertEqual(socket.sent, b"")
        socket.doWrite()
        self.assertEqual(socket.sent, b"first second")

    def test_a_lost_connection_is_told_by_the_transport(self) -> None:
        socket = Socket([-1, -1])
        send(socket, b"answer")
        self.assertTrue(socket.waits)
        self.assertIsInstance(socket.doWrite(), ConnectionLost)

    def test_other_transports_and_other_twisteds_write_as_ever(self) -> None:
        transport = StringTransport()
        send(transport, b"answer")
        self.assertEqual(transport.value(), b"answer")
        encrypted = Socket([])
        encrypted.TLS = True  # type: ignore[attr-defined]
        self.patch(sending, "_SAYS_WHAT_IT_KEEPS", True)
        send(encrypted, b"answer")
        self.assertEqual((encrypted.sent, encrypted.waits), (b"", True))
        self.patch(sending, "_SAYS_WHAT_IT_KEEPS", False)
        unknown = Socket([])
        send(unknown, b"answer")
        self.assertEqual((unknown.sent, unknown.waits), (b"", True))

    def test_the_installed_twisted_is_known(self) -> None:
        self.assertTrue(sending._SAYS_WHAT_IT_KEEPS)

    @given(st.lists(st.tuples(st.sampled_from([send, Socket.write, Socket.doWrite]), st.binary(max_size=9))), st.data())
    def test_all_arrives_in_order(self, steps: list[tuple[Any, bytes]], data: st.DataObject) -> None:
        socket = Socket(data.draw(st.lists(st.integers(0, 12), max_size=30)))
        for act, text in steps:
            act(socket) if act is Socket.doWrite else act(socket, text)
        while socket.waits:
            socket.doWrite()
        self.assertEqual(socket.sent, b"".join(text for act, text in steps if act is not Socket.doWrite))
