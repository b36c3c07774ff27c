"""JSON text to messages and back: no digit changed, and nothing that is no message taken for one."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.errors import MalformedMessage
from bfxtwist.core.messages import (
    BookUpdate,
    Checksum,
    Conf,
    ConfAck,
    Frame,
    Heartbeat,
    Info,
    Ping,
    Pong,
    Refused,
    Rows,
    Subscribe,
    Subscribed,
    Trade,
    TradeExecuted,
    UnknownEvent,
    UnknownFrame,
    UnknownRequest,
    Unsubscribe,
    Unsubscribed,
)
from bfxtwist.core.wire import decode, decode_request, decode_trades, encode_event, encode_frame, encode_row, encode_rows
from tests.recordings import recording

#: What JavaScript's String(number) makes, which is what the exchange writes.
TOKENS = st.one_of(
    st.integers(-(10**15), 10**15).map(str),
    st.decimals(-(10**9), 10**9, allow_nan=False, places=8).map(lambda d: f"{d:f}"),
    st.tuples(st.integers(-9, 9).filter(bool), st.integers(7, 20)).map(lambda pair: f"{pair[0]}e-{pair[1]}"),
)


class ArrayFrames(SynchronousTestCase):
    """Frames, in the layouts with and without sequence number and timestamp."""

    def test_each_kind(self) -> None:
        row = (b"7e-7", b"2", b"-1.50")
        trade = Trade(310628134, 1542045968922, b"2.8e-7", b"6443.10")
        for text, message in {
            b"[5,[7e-7,2,-1.50],17,1564617600784]": BookUpdate.of(5, row, 17, 1564617600784),
            b"[5,[7e-7,2,-1.50],17]": BookUpdate.of(5, row, 17, None),
            b"[5,[7e-7,2,-1.50]]": BookUpdate.of(5, row, None, None),
            b"[5,[[7e-7,2,-1.50],[7e-7,2,-1.50]],1,2]": Rows(5, [row, row], 1, 2),
            b'[5,"te",[310628134,1542045968922,2.8e-7,6443.10],18,9]': TradeExecuted(5, False, trade, 18, 9),
            b'[5,"tu",[310628134,1542045968922,2.8e-7,6443.10],18]': TradeExecuted(5, True, trade, 18, None),
            b'[5,"cs",-1175357890,19,9]': Checksum(5, -1175357890, 19, 9),
            b'[5,"hb",20,9]': Heartbeat(5, 20, 9),
            b'[5,"hb"]': Heartbeat(5, None, None),
        }.items():
            self.assertEqual(decode(text), message)
            self.assertIs(type(decode(text)), type(message))

    def test_empty_snapshots(self) -> None:
        for text in (b"[5,[]]", b"[5,[],3]", b"[5,[],3,4]", b"[5,[[]],3]", b"[5,[[],[]],3]", b"[5,[ ],3]", b"[5,[ [ ] ],3]"):
            message = decode(text)
            assert isinstance(message, Rows), text
            self.assertEqual(message.rows, [])

    def test_white_space_is_no_part_of_a_number(self) -> None:
        self.assertEqual(decode(b" [ 5 , [ 1 ,\t2,\n-3.0 ] , 7 ]"), BookUpdate.of(5, (b"1", b"2", b"-3.0"), 7, None))
        self.assertEqual(decode(b"[5, [[1, 2, 3], [4, 5, 6]], 7, 8]"), decode(b"[5,[[1,2,3],[4,5,6]],7,8]"))
        self.assertEqual(decode(b'[5, "te", [1, 2, 0.5, 4], 7]'), decode(b'[5,"te",[1,2,0.5,4],7]'))
        self.assertEqual(decode(b'[5, "tu", [1, 2, 0.5, 4], 7]'), decode(b'[5,"tu",[1,2,0.5,4],7]'))
        self.assertEqual(decode(b'[5,"te",[1, 2, 0.5 , 4 ],7]'), decode(b'[5,"te",[1,2,0.5,4],7]'))
        self.assertEqual(decode(b'[5, "cs", -3, 7]'), Checksum(5, -3, 7, None))
        self.assertEqual(decode(b'[5 , "hb" , 7]'), Heartbeat(5, 7, None))

    def test_further_fields_are_ignored(self) -> None:
        self.assertEqual(decode(b'[5,[1,2,3],7,8,"book","BTCUSD"]'), BookUpdate.of(5, (b"1", b"2", b"3"), 7, 8))
        self.assertEqual(decode(b'[5,"hb",7,8,"trades",null,[]]'), Heartbeat(5, 7, 8))
        self.assertEqual(decode(b'[5,"te",[1,2,0.5,4,0.1,"x"],7,8,[9]]'), decode(b'[5,"te",[1,2,0.5,4],7,8]'))
        message = decode(b"[5,[1,2,3,4,5],7,8]")
        assert isinstance(message, BookUpdate)
        self.assertEqual(message.row[:3], (b"1", b"2", b"3"))

    def test_rows_may_have_an_empty_field_at_their_end(self) -> None:
        """As the exchange's tickers have had one since 2026."""
        self.assertEqual(decode(b'[5,[1,2,3,null,"x",[4]],7,8]'), decode(b"[5,[1,2,3],7,8]"))
        message = decode(b"[5,[[1,2,3,null],[4,5,6,null]],7,8]")
        assert isinstance(message, Rows)
        self.assertEqual(message.rows, [(b"1", b"2", b"3", b"null"), (b"4", b"5", b"6", b"null")])

    def test_frames_of_other_channels_keep_their_sequence_number(self) -> None:
        for text, kind, seq in (
            (b'[5,"fte",[1,2,3,4,5],17,9]', "fte", 17),
            (b"[5,[1569715201000,null,173.5],7,1569715201369]", "", 7),
            (b'[5,[["pos",1,null,"tBTCF0:USTF0"]],7,9,"liquidations","global"]', "", 7),
            (b'[5,"xx",17]', "xx", 17),
            (b'[5,"xx",-99,17,9]', "xx", 17),
            (b'[5,"xx",17,9,"x"]', "xx", 17),
            (b"[5,[[1,null,3]],17,9]", "", 17),
            (b'[5,"xx"]', "xx", None),
            (b'[5,"cs",null,17]', "", 17),
            (b"[5,3,17]", "", 17),
            (b"[5,null,17]", "", 17),
        ):
            message = decode(text)
            assert isinstance(message, UnknownFrame), text
            self.assertEqual((message.channel_id, message.kind, message.seq), (5, kind, seq))

    def test_what_is_no_message(self) -> None:
        for text in (
            b"", b" ", b"5", b'"hb"', b"null", b"[]", b"[5]", b"[5,", b'["5",[1,2,3],1]', b"[5.5,[1,2,3],1]",
            b"[true,[1,2,3]]", b"[5,[1,2,3],1", b"[5,[1,2,3],1]]", b"[5,[1,2,3],1] x", b"[5, [1 2,3,4],1]",
            b"[5,[NaN,2,3],1]", b"[5,[Infinity,2,3],1]", b"[5,[1e400,2,3],1]", b"[5,[-1e400,2,3],1]", b"[5,[01,2,3],1]",
            b"[5,[+1,2,3],1]", b"[5,[.5,2,3],1]", b"[5,[1.,2,3],1]", b"[5,[0x1,2,3],1]", b"[" * 100_000,
            b"[5," + b"[" * 100_000, b'[5,"te",[0,1,1,1],1]', b'[5,"te",[1,0,1,1],1]', b'[5,"te",[1,1,0,1],1]',
            b'[5,"te",[1,1,1,-1],1]', b'[5,"te",[1.5,1,1,1],1]', b"\xff", b'[5,"\xff",1]', b'{"event":"\xff"}',
            b"[5,[1,2,3]\x00,1]",
        ):  # fmt: skip
            with self.assertRaises(MalformedMessage, msg=str(text[:40])) as caught:
                decode(text)
            why = str(caught.exception)
            for word in ("index", "subsection", "literal", "codec", "recursion", "None", "True"):  # Python's
                self.assertNotIn(word, why)

    def test_wrong_types_make_it_another_kind_of_frame(self) -> None:
        for body in (b"[true,1,1]", b'["1",1,1]', b"[null,1,1]", b"[1,2]", b'"cs","1"', b"[1,[2],3]", b"[[1],2,3]"):
            text = b"[5,%b,1]" % body
            self.assertIsInstance(decode(text), UnknownFrame, text)

    def test_a_number_of_5000_digits_costs_nothing(self) -> None:
        with self.assertRaises(MalformedMessage):
            decode(b"[5,[" + b"9" * 5000 + b",1,1],1]")

    @given(st.lists(TOKENS, min_size=3, max_size=3), st.integers(1, 10**9), st.integers(0, 2**53))
    def test_no_digit_is_changed(self, row: list[str], channel_id: int, seq: int) -> None:
        tokens = tuple(token.encode() for token in row)
        text = encode_frame(channel_id, encode_row(tokens), seq=seq, timestamp=1)
        self.assertEqual(decode(text), BookUpdate.of(channel_id, tokens, seq, 1))
        text = encode_frame(channel_id, encode_rows([tokens]), seq=seq)
        self.assertEqual(decode(text), Rows(channel_id, [tokens], seq, None))


class Events(SynchronousTestCase):
    """Events, from whatever order their keys come in."""

    def test_each_kind(self) -> None:
        ack = {"event": "subscribed", "channel": "trades", "chanId": 5262, "symbol": "tBTCUSD", "pair": "BTCUSD"}
        error = {"event": "error", "msg": "symbol: invalid", "code": 10300, "pair": "FAKE"}
        cases: list[tuple[dict[str, Any], object]] = [
            ({"event": "info", "version": 2, "platform": {"status": 1}}, Info(2, None, "", True)),
            ({"event": "info", "version": 2, "platform": {"status": 0}}, Info(2, None, "", False)),
            ({"event": "info", "version": 2, "platform": None}, Info(2, None, "", None)),
            ({"event": "info", "code": 20051, "msg": "Stopping"}, Info(None, 20051, "Stopping", None)),
            ({"event": "conf", "status": "OK", "flags": 229376}, ConfAck(True, 229376)),
            ({"event": "conf", "status": "FAILED"}, ConfAck(False, 0)),
            (ack, Subscribed(5262, ack)),
            ({"event": "unsubscribed", "status": "OK", "chanId": 5262}, Unsubscribed(5262)),
            (error, Refused(10300, "symbol: invalid", error)),
            ({"event": "pong", "ts": 1511545528111, "cid": 1234}, Pong(1234, 1511545528111)),
            ({"event": "pong"}, Pong(None, None)),
            ({"event": "auth", "status": "OK"}, UnknownEvent("auth")),
            ({"no": "event"}, UnknownEvent("None")),
        ]
        for event, message in cases:
            self.assertEqual(decode(encode_event(event)), message)
            self.assertEqual(decode(json.dumps(dict(reversed(event.items())), indent=1).encode()), message)

    def test_duplicate_keys_are_no_harm(self) -> None:
        self.assertEqual(decode(b'{"event":"auth","event":"pong","cid":1,"cid":2}'), Pong(2, None))

    def test_of_a_version_the_first_part_decides(self) -> None:
        for version, major in (("2", 2), ("2.1", 2), ("1.1", 1)):
            message = decode(b'{"event":"info","version":%b}' % version.encode())
            self.assertEqual(message, Info(major, None, "", None))

    def test_missing_and_wrong_fields(self) -> None:
        for text in (
            b'{"event":"subscribed"}', b'{"event":"subscribed","chanId":"7"}', b'{"event":"subscribed","chanId":true}',
            b'{"event":"unsubscribed","chanId":null}', b'{"event":"error"}', b'{"event":"error","code":"10300"}',
            b'{"event":"info","version":"2"}', b'{"event":"info","platform":[1]}', b'{"event":"conf","flags":[]}',
            b'{"event":1',
        ):  # fmt: skip
            with self.assertRaises(MalformedMessage, msg=str(text)):
                decode(text)


class Requests(SynchronousTestCase):
    """What a client asks, read by the other side."""

    def test_there_and_back(self) -> None:
        for request in (
            Conf(229376),
            Subscribe("book", "tBTCUSD", {"prec": "P0", "freq": "F0", "len": "25", "subId": "1"}),
            Subscribe("trades", "tBTCUSD", {}),
            Unsubscribe(5262),
            Ping(1),
            Ping(None),
        ):
            self.assertEqual(decode_request(request.encode()), request)

    def test_what_no_server_knows(self) -> None:
        self.assertEqual(decode_request(b'{"event":"nope","a":1}'), UnknownRequest("nope", {"a": 1}))
        self.assertEqual(decode_request(b"{}"), UnknownRequest("None", {}))
        wrong = b'{"event":"unsubscribe","chanId":"x"}', b'{"event":"conf","flags":"1"}'
        for text in (b"", b"[]", b"hello", *wrong, b"{" * 100_000):
            with self.assertRaises(MalformedMessage, msg=str(text[:40])):
                decode_request(text)


class History(SynchronousTestCase):
    """The trades in a REST answer."""

    def test_rows(self) -> None:
        rows = decode_trades(b"[[2,1542045947738,-2.8e-7,6443.10], [1,1542045947000,1,6443]]")
        self.assertEqual(rows, [Trade(2, 1542045947738, b"-2.8e-7", b"6443.10"), Trade(1, 1542045947000, b"1", b"6443")])
        for empty in (b"[]", b" [ ]\n"):
            self.assertEqual(decode_trades(empty), [])

    def test_further_fields_and_empty_rows(self) -> None:
        plain = decode_trades(b"[[2,15,-0.50,7e1],[1,14,1,3]]")
        self.assertEqual(decode_trades(b"[[2,15,-0.50,7e1,9],[],[ 1, 14, 1, 3 ]]"), plain)
        self.assertEqual(decode_trades(b"[[2,15,-0.50,7e1,null],[1,14,1,3,null]]"), plain)

    def test_anything_else(self) -> None:
        for body in (
            b"", b"<html>", b"{}", b"null", b'["error",10020,"symbol: invalid"]', b'{"error":"ERR_RATE_LIMIT"}',
            b"[[1,2,3]]", b"[[1,2,3,4]", b'[["1",2,3,4]]', b"[[1,2,NaN,4]]", b"[[1,2,0,4]]", b"[[1,2,3,0]]", b"[" * 9999,
            b"[1,2,3,4]", b"[[1,2,3,null]]", b"[[0,2,3,4]]", b"[[-1,2,3,4]]", b"[[1,0,3,4]]", b"[[1,2,3,-4]]",
        ):  # fmt: skip
            with self.assertRaises(ValueError, msg=str(body[:40])):
                decode_trades(body)


class Recorded(SynchronousTestCase):
    """Frames as the exchange really sent them."""

    def test_frames_with_sequence_number_and_timestamp(self) -> None:
        kinds = set()
        for line in recording("frames-seq-timestamp.jsonl").splitlines():
            message = decode(line)
            kinds.add(type(message))
            if isinstance(message, Frame):
                items = json.loads(line)
                tail = [item for item in items[2:] if type(item) is int][-2:]
                if isinstance(message, Checksum):
                    tail = items[3:5]
                self.assertEqual([message.seq, message.timestamp], tail, line)
        self.assertLessEqual({Subscribed, Rows, BookUpdate, TradeExecuted, Heartbeat, UnknownFrame}, kinds)

    def test_every_number_of_a_recorded_book(self) -> None:
        lines = recording("cs-tVETBTC.jsonl").splitlines()
        self.assertTrue(any(b"e-" in line for line in lines))
        for line in lines:
            message = decode(line)
            if isinstance(message, Rows):
                rebuilt = encode_frame(message.channel_id, encode_rows(message.rows))
                self.assertIn(rebuilt[:-1], line.replace(b" ", b""))


class Fuzz(SynchronousTestCase):
    """Whatever comes, it is a message or malformed, and a message's numbers are numbers."""

    @settings(max_examples=1000)
    @given(st.binary(max_size=80))
    def test_any_bytes(self, payload: bytes) -> None:
        self._is_a_message_or_malformed(payload)

    @settings(max_examples=1000)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("te"),
            lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["event", "code"]), inner),
            max_leaves=12,
        )
    )
    def test_any_json(self, value: Any) -> None:
        self._is_a_message_or_malformed(msgspec.json.encode(value))
        self._is_a_message_or_malformed(json.dumps([5, value, 1]).encode())

    def _is_a_message_or_malformed(self, payload: bytes) -> None:
        try:
            message = decode(payload)
        except MalformedMessage as error:
            self.assertLess(len(str(error)), 1000)
            return
        if isinstance(message, BookUpdate):
            for token in message.row[:3]:
                float(token)
