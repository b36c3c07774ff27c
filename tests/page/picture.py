"""Makes the picture of the page that stands in the README, of a daemon that runs already.

    twistd -n --pidfile= bfx --demo -p BTC/USD -p ETH/USD -c book -c trades --file-path data/ &
    python -m tests.page.picture http://localhost:8080 docs/page.png

It looks at the page for five minutes, so that the line is full.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from tests.page.browser import Browser

_SECONDS = 305.0


async def take(reactor: Any, url: str, path: str) -> None:
    """Look, and keep what is seen: dark, with the crosshair on the asks."""
    with TemporaryDirectory() as profile:
        browser = Browser(reactor, Path(profile), 1280, 800)
        await browser.start()
        try:
            await browser.get(url)
            await browser.prefer(color_scheme="dark")
            await deferLater(reactor, _SECONDS, lambda: None)
            await browser.hover("#depth", 0.66)
            await deferLater(reactor, 0.5, lambda: None)
            await browser.picture(Path(path))
        finally:
            await browser.stop()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(take(reactor, *sys.argv[1:])))
