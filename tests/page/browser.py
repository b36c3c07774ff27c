"""A real Chromium without a window, driven by Selenium from one thread, so that the reactor goes on serving meanwhile."""

import json
from base64 import b64decode
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

#: Without these, it looks for Google's hosts at every start, and needs a sandbox that a container does not have.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

_KEYS = {"right": "\ue014", "tab": "\ue004", "escape": "\ue00c", "enter": "\ue007", "home": "\ue011"}


def missing() -> str | None:
    """What the tests need and is not here."""
    for program in ("chromium", "chromedriver"):
        if which(program) is None:
            return f"there is no {program} here: apt-get install chromium chromium-driver"
    return None if find_spec("selenium") else "there is no selenium here: pip install selenium"


class Browser:
    """One tab. Every method returns a Deferred, and they are done one after the other."""

    def __init__(self, reactor: Any, profile: Path, width: int = 1440, height: int = 900) -> None:
        self._reactor = reactor
        self._profile = profile
        self._size = width, height
        self._thread = ThreadPool(1, 1, "browser")
        self._driver: Any = None

    def _do(self, work: Callable[[], Any]) -> "Deferred[Any]":
        return deferToThreadPool(self._reactor, self._thread, work)

    def start(self) -> "Deferred[Any]":
        """Open it."""
        self._thread.start()
        return self._do(self._open)

    def _open(self) -> None:
        webdriver = import_module("selenium.webdriver")
        service = import_module("selenium.webdriver.chrome.service")
        options = webdriver.ChromeOptions()
        options.binary_location = which("chromium")
        for flag in (*_FLAGS, f"--user-data-dir={self._profile.resolve()}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._driver = webdriver.Chrome(options=options, service=service.Service(which("chromedriver")))
        self._resize(*self._size)

    def stop(self) -> "Deferred[Any]":
        """Close it."""

        def ended(result: Any) -> Any:
            self._thread.stop()
            return result

        return self._do(lambda: self._driver and self._driver.quit()).addBoth(ended)

    def get(self, url: str) -> "Deferred[Any]":
        """Go there, and wait until it is loaded."""
        return self._do(lambda: self._driver.get(url))

    def js(self, expression: str) -> "Deferred[Any]":
        """The value of an expression, which may be a promise."""
        wrapped = f"const done = arguments[0]; Promise.resolve({expression}).then(done, (error) => done(String(error)))"
        return self._do(lambda: self._driver.execute_async_script(wrapped))

    def text(self, selector: str) -> "Deferred[Any]":
        """What an element says."""
        return self.js(f"document.querySelector({json.dumps(selector)}).textContent")

    def press(self, *keys: str) -> "Deferred[Any]":
        """Keys, on whatever has the focus."""

        def work() -> None:
            actions = import_module("selenium.webdriver").ActionChains(self._driver)
            for key in keys:
                actions.send_keys(_KEYS.get(key, key))
            actions.perform()

        return self._do(work)

    def hover(self, selector: str, part: float) -> "Deferred[Any]":
        """The pointer on an element, at a part of its width."""

        def work() -> None:
            element = self._driver.find_element("css selector", selector)
            actions = import_module("selenium.webdriver").ActionChains(self._driver)
            actions.move_to_element_with_offset(element, int((part - 0.5) * element.size["width"]), 0).perform()

        return self._do(work)

    def resize(self, width: int, height: int) -> "Deferred[Any]":
        """The window, in CSS pixels."""
        return self._do(lambda: self._resize(width, height))

    def _resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, **features: str) -> "Deferred[Any]":
        """What the reader's system prefers: `color_scheme="dark"`, `reduced_motion="reduce"`."""
        chosen = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        return self._do(lambda: self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": chosen}))

    def print(self) -> "Deferred[Any]":
        """Look from now on as it would on paper."""
        return self._do(lambda: self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"}))

    def back(self) -> "Deferred[Any]":
        """One page back."""
        return self._do(self._driver.back)

    def complaints(self) -> "Deferred[Any]":
        """Errors and warnings of the console since the last time, violations of the page's policy among them."""
        return self._do(lambda: [entry["message"] for entry in self._driver.get_log("browser")])

    def tree(self) -> "Deferred[Any]":
        """What assistive technology is told: `(role, name)` of every node."""
        return self._do(self._read_tree)

    def _read_tree(self) -> list[tuple[str, str]]:
        nodes = self._driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        shown = [node for node in nodes if not node["ignored"]]
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown]

    def picture(self, path: Path) -> "Deferred[Any]":
        """A PNG of the window."""
        return self._do(
            lambda: path.write_bytes(b64decode(self._driver.execute_cdp_cmd("Page.captureScreenshot", {})["data"]))
        )
