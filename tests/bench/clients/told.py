"""For the clients: what to do, from the command line, and what was seen, told when the run ends."""

import json
import os
import signal
import sys
import time

WORK = json.loads(sys.argv[1])  # ws_url, rest_url, symbols, pairs, channel, levels, precision, file, paced
SEEN = {"updates": 0, "checksums": 0, "mismatches": 0}  # updates: of a book, its snapshot not counted
ARRIVED = {}  # by sequence number, when (s, monotonic); only where the run is paced
FINISHING = []  # called before the end

now = time.monotonic


def _tell(*_arguments):
    for finish in FINISHING:
        finish()
    os.write(1, json.dumps({**SEEN, "arrived": list(ARRIVED.items())}).encode() + b"\n")
    os._exit(0)


signal.signal(signal.SIGTERM, _tell)
