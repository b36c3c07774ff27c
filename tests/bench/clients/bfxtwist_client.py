"""bfxtwist in a program of its own, for what only shows within one: when a book has taken in each update."""

import os
import sys

from told import ARRIVED, WORK, now

sys.path.insert(0, WORK["root"])  # where bfxtwist lies, unless it is installed

from twisted.internet import reactor

from bfxtwist.app import prepare
from bfxtwist.bitfinex import Bitfinex, service


class Listener:
    def __init__(self, feed):
        self.feed = feed

    def changed(self):
        ARRIVED.setdefault(self.feed.nonce, now())  # a checksum that agrees is a change, too


prepare(reactor)
parameters = {"precision": WORK["precision"], "length": WORK["levels"]}
books = [Bitfinex(pair, "book", **parameters, ws_url=WORK["ws_url"], rest_url=WORK["rest_url"]) for pair in WORK["pairs"]]
daemon = service(*books, listen="tcp:0:interface=127.0.0.1", reactor=reactor, lock_folder=os.getcwd())
if WORK["paced"]:
    for feed in daemon.market.books.values():
        feed.listeners.append(Listener(feed))
daemon.privilegedStartService()
reactor.callWhenRunning(daemon.startService)
reactor.run(installSignalHandlers=False)
