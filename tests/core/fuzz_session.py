"""Guided by coverage, look for frames that bring a session down: `python -m tests.core.fuzz_session -runs=100000`.

The first byte chooses a frame of a live conversation, the rest is laid over it, so that mutations stay close to what the
protocol's code looks at. Whatever the frame, only an ExchangeError may come of it, and only its own kind of it.
"""

import sys

import atheris

with atheris.instrument_imports(include=["bfxtwist.core"]):
    from bfxtwist.core.errors import ExchangeError
    from tests.core.conversation import ROWS, conversation_with_trades

SEEDS = (
    b"[7,[100,1,2.5],%d,1542045947738]",
    b"[7," + ROWS.encode() + b",%d,1542045947738]",
    b'[8,"te",[310628134,1542045968922,0.01073894,6443.1],%d,1542045968990]',
    b'[8,"tu",[310628134,1542045968922,-2.8e-7,6443.1],%d,1542045968990]',
    b'[7,"cs",-1183219669,%d,1542045968990]',
    b'[7,"hb",%d,1542045968990]',
    b'{"event":"info","code":20060,"msg":""}',
    b'{"event":"error","msg":"subscribe: dup","code":10301,"chanId":7}',
    b'{"event":"unsubscribed","status":"OK","chanId":7}',
)


def lay_over(seed: bytes, data: bytes) -> bytes:
    """`data` in place of a part of `seed`: its first two bytes say where, and how much goes."""
    if len(data) < 2:
        return seed
    start, gone = data[0] % (len(seed) + 1), data[1] % 16
    return seed[:start] + data[2:] + seed[start + gone :]


def one_frame(data: bytes) -> None:
    """One frame in a live conversation, and one more."""
    talk, _ = conversation_with_trades()
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        seed = SEEDS[part[0] % len(SEEDS)] if part else SEEDS[0]
        text = seed % (talk.seq + 1) if b"%d" in seed else seed
        try:
            talk.session.received([lay_over(text, part[1:])], talk.moment)
            talk.session.tick(talk.moment)
        except ExchangeError as error:
            talk.session.ended(str(error), talk.moment)
            return


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_frame)
    atheris.Fuzz()
