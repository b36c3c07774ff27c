"""What systemd is told of a unit of `Type=notify`: one datagram for each word (man sd_notify).

Twisted knows the protocol only for sockets that are handed over, and the whole of it is one `sendto`.
"""

import socket
from collections.abc import Callable, Mapping

from twisted.logger import Logger

_log = Logger()

Send = Callable[[bytes], None]


class Notifier:
    """Tells, if there is somebody to be told. `watchdog_seconds` is how often a sign of life is expected, 0 if it is not."""

    def __init__(self, send: Send | None = None, watchdog_seconds: float = 0.0) -> None:
        self._send = send
        self.watchdog_seconds = watchdog_seconds
        self._status = ""

    def ready(self) -> None:
        """The port and the files are open."""
        self._tell(b"READY=1")

    def alive(self) -> None:
        """The reactor turns."""
        self._tell(b"WATCHDOG=1")

    def stopping(self) -> None:
        """The files are being closed."""
        self._tell(b"STOPPING=1")

    def reloading(self, monotonic: float) -> None:
        """Settings are read again; `ready` ends it. `monotonic` in seconds, which systemd wants since version 253."""
        self._tell(b"RELOADING=1\nMONOTONIC_USEC=%d" % int(monotonic * 1e6))

    def status(self, text: str) -> None:
        """What `systemctl status` shows; told when it is new."""
        if text != self._status:
            self._status = text
            self._tell(b"STATUS=" + text.encode().replace(b"\n", b" "))

    def _tell(self, words: bytes) -> None:
        if self._send is not None:
            self._send(words)


def notifier(environ: Mapping[str, str], pid: int) -> Notifier:
    """A notifier for this process, which is silent outside systemd."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return Notifier()
    watched = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    microseconds = environ.get("WATCHDOG_USEC", "0") if watched else "0"
    return Notifier(_sender(address), int(microseconds) / 1e6 if microseconds.isdigit() else 0.0)


def _sender(address: str) -> Send:
    # "@" stands for the NUL byte of Linux' abstract names.
    path = address.replace("@", "\0", 1) if address.startswith("@") else address

    def send(words: bytes) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
                telling.setblocking(False)  # the reactor does not wait for systemd
                telling.sendto(words, path)
        except OSError as error:
            _log.warn("systemd cannot be told {words}: {error}", words=words.decode(), error=str(error))

    return send
