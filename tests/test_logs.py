"""Both formats say what happened, whatever the event holds, and go where twistd's own log would go."""

import io
import json
from errno import ENOSPC
from pathlib import Path
from typing import Any

from twisted.application.service import Application
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python import log as old_log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.logs import Logs, install


class LogsTestCase(SynchronousTestCase):
    def log(self, log_format: str) -> tuple[Logger, io.StringIO]:
        file = io.StringIO()
        self.logs = Logs(file, log_format, lambda: 0.0)
        return Logger("bfxtwist.here", observer=self.logs), file


class TextTests(LogsTestCase):
    def test_a_line(self) -> None:
        log, file = self.log("text")
        log.warn("{pair} book: {url}", pair="BTC/USD", url="http://localhost")
        time = r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:]{8}\.[0-9]{3}Z"
        self.assertRegex(file.getvalue(), rf"^{time} warning  BTC/USD book: http://localhost\n$")

    def test_a_failure_has_its_traceback(self) -> None:
        log, file = self.log("text")
        log.failure("a bug", Failure(ValueError("wrong")))
        self.assertIn("critical a bug\n", file.getvalue())
        self.assertIn("ValueError: wrong", file.getvalue())

    def test_debugging_and_noise_are_left_out(self) -> None:
        log, file = self.log("text")
        log.debug("a frame")
        old = old_log.LogPublisher(publishPublisher=self.logs)  # as Twisted's ports still log
        starting = ("Site starting on 8080", "Site (TLS) starting on 8443")
        for text in (*starting, "Starting factory <X>", "(TCP Port 8080 Closed)"):
            old.msg(text)
        Logger("twisted.internet.base", observer=self.logs).failure("while calling", Failure(ReactorNotRunning()))
        self.assertEqual(file.getvalue(), "", "the second Control-C, too")
        old.msg("Hello")
        self.assertIn("info     Hello\n", file.getvalue())

    def test_a_storm_is_counted(self) -> None:
        log, file = self.log("text")
        for number in range(100):
            log.info("frame {number}", number=number)
        self.logs.tick()
        self.assertEqual(len(file.getvalue().splitlines()), 3)
        self.logs.finish()
        self.assertEqual(sum(int(n) for n in _counts(file.getvalue())), 97)


class FullDiskTests(SynchronousTestCase):
    def test_what_cannot_be_told_does_not_end_the_one_that_calls(self) -> None:
        """Signs of life, and the exit code."""
        file = FullFile()
        self.logs = Logs(file, "text", lambda: self.seconds)
        log = Logger("bfxtwist.here", observer=self.logs)
        self.seconds = 0.0
        for number in range(10):
            log.info("frame {number}", number=number)
        file.is_full, self.seconds = True, 1000.0
        self.logs.tick()
        self.logs.finish()
        file.is_full = False
        self.logs.tick()
        self.assertEqual(_counts(file.getvalue()), ["5", "2"], "it is told when it can be")


class FullFile(io.StringIO):
    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(ENOSPC, "No space left on device")
        return super().write(text)


def _counts(text: str) -> list[str]:
    return [line.split(" info     ")[1].split()[0] for line in text.splitlines() if "more like this" in line]


class JsonTests(LogsTestCase):
    def test_a_line(self) -> None:
        _, file = self.log("json")
        event = {"log_time": 1790134414.85, "log_level": LogLevel.info, "log_namespace": "bfxtwist.here"}
        fields = {"pair": "BTC/USD", "s": 1.25, "path": Path("/x"), "news": True}
        self.logs({**event, "log_format": "{pair} after\n{s:.1f} s", **fields})
        [line] = file.getvalue().splitlines()
        self.assertEqual(
            json.loads(line),
            {
                "time": "2026-09-23T03:33:34.850Z",
                "level": "info",
                "namespace": "bfxtwist.here",
                "message": "BTC/USD after\n1.2 s",
                "fields": {"pair": "BTC/USD", "s": 1.25, "path": "/x"},
            },
        )

    def test_a_failure(self) -> None:
        log, file = self.log("json")
        log.failure("a bug", Failure(ValueError("wrong")))
        [line] = file.getvalue().splitlines()
        self.assertIn("ValueError: wrong", json.loads(line)["traceback"])

    def test_whatever_the_fields_are(self) -> None:
        log, file = self.log("json")
        log.error("odd", a={1: object()}, b=b"\xff", c=float("nan"), d="\ud800", e={("x",): 1})
        self.assertEqual(json.loads(file.getvalue())["message"], "odd")


class InstallTests(SynchronousTestCase):
    def install(self, **options: Any) -> Logs | None:
        self.application: Any = Application("bfx")
        return install(self.application, options, "text", Clock())

    def test_twistd_finds_it(self) -> None:
        logs = self.install(nodaemon=True, logfile="", syslog=False)
        self.assertIs(self.application.getComponent(ILogObserver), logs)

    def test_in_the_file_that_was_named(self) -> None:
        path = Path(self.mktemp())
        logs = self.install(nodaemon=True, logfile=str(path))
        assert logs is not None
        Logger("here", observer=logs).info("hello")
        self.assertIn("info     hello", path.read_text())

    def test_not_in_place_of_syslog_and_only_under_twistd(self) -> None:
        self.assertIsNone(self.install(nodaemon=True, syslog=True))
        self.assertIsNone(install(object(), {"nodaemon": True}, "text", Clock()))
        self.assertIsNone(self.install(), "nor under `twist`")
