"""A hundred thousand bad frames: no crash, no growth, and never a live book after what is no frame.

Good frames of a live session are bent where a server, a proxy or a cable might bend them. Whatever comes of it is an
ExchangeError or nothing. The seed is fixed; a failure names the frame.
"""

import json
from random import Random
from resource import RUSAGE_SELF, getrusage

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.errors import ExchangeError
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.session import SessionState
from tests.core.conversation import CHECKSUM, ROWS, Conversation, conversation_with_trades

SEED = 20260923
FRAMES = 100_000

#: Bodies of frames for the book on channel 7 and the trades on channel 8.
GOOD = (
    "[7,[98.5,2,0.25],{seq},1542045947738]",
    "[7,[101,0,-1],{seq},1542045947738]",
    f"[7,{ROWS},{{seq}},1542045947738]",
    "[7,[[98,1,1],[97,1,2.8e-7]],{seq},1542045947738]",
    f'[7,"cs",{CHECKSUM},{{seq}},1542045947738]',
    '[7,"hb",{seq},1542045947738]',
    '[8,"te",[310628134,1542045968922,0.01,6443.1],{seq},1542045968930]',
    '[8,"tu",[310628134,1542045968922,0.01,6443.1],{seq},1542045968930]',
    '[8,"hb",{seq},1542045947738]',
    '[99,"hb",{seq},1542045947738]',
    '{{"event":"info","code":20060,"msg":"maintenance"}}',
    '{{"event":"info","version":2,"platform":{{"status":1}}}}',
    '{{"event":"conf","status":"OK","flags":229376}}',
    '{{"event":"subscribed","channel":"book","chanId":7,"symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"25","subId":"1"}}',
    '{{"event":"unsubscribed","status":"OK","chanId":7}}',
    '{{"event":"error","msg":"subscribe: dup","code":10301,"chanId":7,"channel":"book","symbol":"tBTCUSD"}}',
    '{{"event":"pong","cid":1,"ts":1511545528111}}',
)

#: What may stand where a number or a text was.
TOKENS = (
    "0", "-0", "-1", "1", "0.0", "1e-7", "1e400", "-1e400", "NaN", "Infinity", "null", "true", "false", '""', '"te"',
    '"cs"', '"hb"', '"\\ud800"', '"\\u0000"', "[]", "{}", "[[]]", "[1]", "[1,2,3]", "9" * 400, "1" + "0" * 5000,
    "0." + "1" * 300, "[" * 200, "2147483648", "9223372036854775808", "18446744073709551616", "1.5", '"1"', "7", "8", "",
)  # fmt: skip

PUNCTUATION = '[]{},:"'


class Bender:
    """Bends frames."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def bend(self, text: str) -> bytes:
        """The frame, bent in one to three places."""
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            text = self.random.choice((self.replace, self.drop, self.double, self.cut, self.punctuate, self.spell))(text)
        payload = text.encode()
        return self.flip(payload) if payload and self.random.random() < 0.1 else payload

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Where the tokens between punctuation are."""
        spans, begin = [], 0
        for index, character in enumerate([*text, ","]):
            if character in PUNCTUATION:
                if index > begin:
                    spans.append((begin, index))
                begin = index + 1
        return spans or [(0, len(text))]

    def replace(self, text: str) -> str:
        begin, end = self.random.choice(self.tokens(text))
        return text[:begin] + self.random.choice(TOKENS) + text[end:]

    def drop(self, text: str) -> str:
        begin, end = self.random.choice(self.tokens(text))
        return text[:begin] + text[end + 1 :]

    def double(self, text: str) -> str:
        begin, end = self.random.choice(self.tokens(text))
        return f"{text[:end]},{text[begin:end]}{text[end:]}"

    def cut(self, text: str) -> str:
        return text[: self.random.randrange(len(text) + 1)] or " "

    def punctuate(self, text: str) -> str:
        at = self.random.randrange(len(text) + 1)
        return text[:at] + self.random.choice(PUNCTUATION + " \t\n\x00\x0b") + text[at:]

    def spell(self, text: str) -> str:
        at = self.random.randrange(len(text) + 1)
        return text[:at] + self.random.choice("0123456789eE+-.tnf\\u\u2028\U0001f4c8") + text[at + 1 :]

    def flip(self, payload: bytes) -> bytes:
        at = self.random.randrange(len(payload))
        return payload[:at] + bytes([self.random.randrange(256)]) + payload[at + 1 :]


class BadFrames(SynchronousTestCase):
    """The whole session under frames that are not what they should be."""

    def test_no_crash(self) -> None:
        bender = Bender(SEED)
        talk, _ = conversation_with_trades()
        memory = 0
        errors = 0
        for number in range(FRAMES):
            if number == FRAMES // 10:
                memory = getrusage(RUSAGE_SELF).ru_maxrss
            payload = bender.bend(bender.random.choice(GOOD).format(seq=talk.seq + 1))
            if not self.survives(talk, payload):
                errors += 1
                talk, _ = conversation_with_trades()
        self.assertGreater(errors, FRAMES // 10, "bent frames are noticed")
        self.assertGreater(FRAMES - errors, FRAMES // 10, "and some are still frames")
        self.assertLess(getrusage(RUSAGE_SELF).ru_maxrss - memory, 5 * 1024, "KiB more after nine tenths of it")

    def survives(self, talk: Conversation, payload: bytes) -> bool:
        """Whether the session goes on. Its book is never live after an error, and its document always is one."""
        seq = talk.session._next_seq
        try:
            talk.hear(payload)
            talk.session.tick(talk.moment)
        except ExchangeError as error:
            talk.session.ended(str(error), talk.moment)
            self.assertIsNot(talk.book.state, FeedState.LIVE, payload)
            self.assertIsNot(talk.trades.state, FeedState.LIVE, payload)
            return False
        except Exception as bug:
            raise AssertionError(f"{payload!r}: {bug!r}") from bug
        talk.seq += talk.session._next_seq - seq
        if talk.session.state is SessionState.MAINTENANCE:
            talk.session.ended("the next one", talk.moment)
            return False
        if talk.seq % 8 == 0:
            document = json.loads(talk.book.document(), parse_constant=self.fail)
            self.assertLess(len(document["bids"]) + len(document["asks"]), 200)
        return talk.seq < 500
