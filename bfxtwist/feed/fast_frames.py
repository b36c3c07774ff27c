"""A way around Autobahn for the frames that the exchange sends: many short texts, walked over in one loop.

    bytes ──► FastFrames.processData ──► payloads_received([b"[17082,[6443.1,2,0.5],17]", …])    a run of plain short frames
                      └──────────────► Autobahn's own path ──► onMessage(payload, isBinary)    everything else

A book's update is a final, unmasked, uncompressed text frame of fewer than 126 bytes of ASCII. For each one Autobahn makes
a frame object, updates statistics, calls six hooks, logs twice and fires a Deferred that nobody waits for: 5.4 µs a message
with an `onMessage` that does nothing, against 0.2 µs here (one core of 2026, Python 3.11, frames of 35 bytes). It begins to
pay at one frame a segment. Control frames, fragments, long, half, broken and non-ASCII frames are Autobahn's, so that the
messages, their order, the close codes and the counters are the same for any bytes, however they are cut; a property test
holds both against each other.

`processData` is public by its name, but nobody has promised what it does. What is relied on is looked up when this module
is imported. Should any of it be missing, or `fast_frames` be off, every frame goes Autobahn's way.
"""

from typing import Final

from autobahn.twisted.websocket import WebSocketClientProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

#: The first byte of a final text frame without reserved bits. No ASCII text holds it.
_PLAIN_TEXT: Final = b"\x81"

#: The second byte of a frame is its length up to here, above it the length follows or, with the top bit, a mask does.
_LONGEST: Final = 125

#: Frames a run. A stream of other frames, whose short ones never make a run, must not be split to its end for each of them.
_MOST: Final = 1024

#: What is relied on: Autobahn's methods, and the names that must occur in each for it still to work as it did in 26.10.
_RELIED_ON: Final = {
    "_dataReceived": {"data", "consumeData", "incomingOctetsWireLevel"},
    "consumeData": {"processData", "state", "STATE_OPEN"},
    "processData": {"data", "current_frame", "inside_message"},
    "onFrameBegin": {"inside_message", "_isMessageCompressed", "_onMessageFrameBegin"},
    "onFrameData": {"trafficStats", "incomingOctetsWebSocketLevel", "incomingOctetsAppLevel"},
    "onFrameEnd": {
        "trafficStats",
        "incomingWebSocketFrames",
        "incomingWebSocketMessages",
        "autoPingTimeoutCall",
        "autoPingRestartOnAnyTraffic",
        "_cancelAutoPingTimeoutCall",
    },
    "onMessageFrameBegin": {"maxMessagePayloadSize", "maxFramePayloadSize"},
    "onMessageEnd": {"_onMessage", "fire"},
}


def unmet_expectations(protocol: type, relied_on: dict[str, set[str]] = _RELIED_ON) -> list[str]:
    """The methods that `protocol` lacks or that do not mention what they should; none for an Autobahn that is known."""
    codes = {name: getattr(getattr(protocol, name, None), "__code__", None) for name in relied_on}
    return [name for name, names in relied_on.items() if not (code := codes[name]) or not names <= {*code.co_names}]


#: Whether the installed Autobahn is one that this module knows.
SUPPORTED: Final = not unmet_expectations(WebSocketClientProtocol)


class FastFrames(WebSocketClientProtocol):
    """A client protocol that hands on runs of plain short text frames by `payloads_received`, all else by `onMessage`.

    `fast_frames` turns it off, on the class, the instance or not at all. The streaming hooks (`onMessageBegin` to
    `onMessageEnd`) are not called for the frames of a run.
    """

    data: bytes  # Autobahn's: what is not taken in yet
    fast_frames = True
    _fast = False  # until the connection is made and its options are known

    def payloads_received(self, payloads: list[bytes]) -> None:
        """The texts of a run, in order, at least one. They are counted already; whoever drops the connection in between
        must stop, as here."""
        for payload in payloads:
            if self.state == self.STATE_CLOSED:
                return
            self.onMessage(payload, False)

    def connectionMade(self) -> None:
        """The options have their values now: those that want to see each frame rule the fast path out."""
        super().connectionMade()
        limits = (self.maxFramePayloadSize, self.maxMessagePayloadSize)
        watched = self.logFrames or self.trackTimings
        self._fast = SUPPORTED and self.fast_frames and not watched and not any(0 < limit <= _LONGEST for limit in limits)

    def dataReceived(self, data: bytes) -> None:
        """Leave out the log line that Autobahn formats here for every segment, whether or not anybody reads it: 6 µs."""
        if self._fast:
            self._dataReceived(data)
        else:
            super().dataReceived(data)

    def processData(self) -> bool:
        """Take in a run of plain short text frames, or let Autobahn take in one step of whatever else there is.

        Whether to be called again, with what is left.
        """
        between_messages = self.current_frame is None and not self.inside_message
        if not (between_messages and self._fast and self.state == self.STATE_OPEN and self._listeners is None):
            return bool(super().processData())
        payloads = leading_texts(self.data)
        if not payloads:
            return bool(super().processData())
        self._take(payloads)
        return len(self.data) > 0

    def _take(self, payloads: list[bytes]) -> None:
        count, octets = len(payloads), sum(map(len, payloads))
        self.data = self.data[octets + 2 * count :]
        stats = self.trafficStats
        stats.incomingOctetsWebSocketLevel += octets
        stats.incomingOctetsAppLevel += octets
        stats.incomingWebSocketFrames += count
        stats.incomingWebSocketMessages += count
        if self.autoPingTimeoutCall and self.autoPingRestartOnAnyTraffic:
            self._cancelAutoPingTimeoutCall()  # what came is as good as the pong
        self.payloads_received(payloads)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """No more frames."""
        self._fast = False
        super().connectionLost(reason)


def leading_texts(data: bytes) -> list[bytes]:
    """The payloads of the plain short ASCII frames that `data` begins with, or of the first thousand.

    Split at the byte that begins such a frame and does not occur within, every piece is a length and that many bytes. At the
    first piece that is not, the run is over. (140 ns a frame; with an index that goes from frame to frame, 215.)
    """
    if data[:1] != _PLAIN_TEXT:
        return []
    payloads = []
    for piece in data.split(_PLAIN_TEXT, _MOST)[1:]:
        length = len(piece) - 1
        if not 0 <= length <= _LONGEST or piece[0] != length or not piece.isascii():
            break
        payloads.append(piece[1:])
    return payloads
