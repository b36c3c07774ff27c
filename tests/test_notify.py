"""systemd is told what it needs to know, over a real socket, and nobody is told where there is nobody."""

import socket
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.notify import notifier


class Telling(SynchronousTestCase):
    def setUp(self) -> None:
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.heard.close)
        self.heard.settimeout(5)
        # Not in trial's folder: the name of a socket has at most 107 bytes.
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/notify"
        self.heard.bind(self.path)

    def test_each_word_is_a_datagram(self) -> None:
        told = notifier({"NOTIFY_SOCKET": self.path}, pid=7)
        told.ready()
        told.status("2 feeds live")
        told.status("2 feeds live")
        told.alive()
        told.reloading(1.5)
        told.stopping()
        expected = [b"READY=1", b"STATUS=2 feeds live", b"WATCHDOG=1", b"RELOADING=1\nMONOTONIC_USEC=1500000", b"STOPPING=1"]
        self.assertEqual([self.heard.recv(200) for _ in expected], expected)

    def test_the_watchdog_is_for_the_process_that_is_named(self) -> None:
        environ = {"NOTIFY_SOCKET": "/run/none", "WATCHDOG_USEC": "30000000"}
        self.assertEqual(notifier(environ, 7).watchdog_seconds, 30.0)
        self.assertEqual(notifier({**environ, "WATCHDOG_PID": "7"}, 7).watchdog_seconds, 30.0)
        self.assertEqual(notifier({**environ, "WATCHDOG_PID": "8"}, 7).watchdog_seconds, 0.0)

    def test_outside_systemd_nothing_is_told(self) -> None:
        silent = notifier({}, 7)
        silent.ready()
        self.assertEqual(silent.watchdog_seconds, 0.0)

    def test_a_socket_that_is_gone_does_not_stop_the_daemon(self) -> None:
        notifier({"NOTIFY_SOCKET": "@bfxtwist-nobody-listens"}, 7).ready()
