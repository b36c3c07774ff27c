"""JSON text ⇄ messages, for both sides of the protocol.

    -> {"event":"conf","flags":229376}                            Conf            <- {"event":"conf","status":"OK",…}
    -> {"event":"subscribe","channel":"book","symbol":"tBTCUSD"}  Subscribe       <- {"event":"subscribed",…}
    -> {"event":"unsubscribe","chanId":5262}                      Unsubscribe     <- {"event":"unsubscribed",…}
    -> {"event":"ping","cid":1}                                   Ping            <- {"event":"pong",…}
    <- [5262,[6443.5,2,-0.4],17,1542045947738]                    BookUpdate
    <- [5262,[[6443,5,1.2],…],1,1542045947738]                    Rows: a snapshot, or several updates in one frame
    <- [5262,"te",[310628134,1542045968922,0.01,6443.1],18,…]     TradeExecuted ("te" at once, "tu" from the database)
    <- [5262,"cs",-1175357890,19,…]                               Checksum
    <- [5262,"hb",20,…]                                           Heartbeat

Rows keep the bytes that stood on the wire: an update's as one text, all others as tuples of tokens. msgspec decodes beside
them, so that every token is known to be a finite JSON number. Frames are read from the front and further trailing fields are
ignored: the exchange has added some.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import msgspec

from bfxtwist.core.errors import MalformedMessage, one_line
from bfxtwist.core.messages import (
    BookUpdate,
    Checksum,
    Conf,
    ConfAck,
    Event,
    Frame,
    Heartbeat,
    Info,
    Ping,
    Pong,
    Refused,
    Request,
    Row,
    Rows,
    Subscribe,
    Subscribed,
    Trade,
    TradeExecuted,
    TradeNumbers,
    UnknownEvent,
    UnknownFrame,
    UnknownRequest,
    Unsubscribe,
    Unsubscribed,
)

# --- what a server says -------------------------------------------------------------------------------------


class _Numbers(msgspec.Struct, array_like=True, gc=False):
    first: float
    second: float
    third: float


class _RowFrame(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    numbers: _Numbers
    seq: int | None = None
    timestamp: int | None = None


#: Rows may have further fields, and the exchange's tickers have had an empty one at their end since 2026.
_AnyRows = list[list[float | None]]


class _RowsFrame(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    rows: _AnyRows
    seq: int | None = None
    timestamp: int | None = None


class _TradeFrame(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    kind: str
    numbers: TradeNumbers
    seq: int | None = None
    timestamp: int | None = None


class _ChecksumFrame(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    kind: str
    value: int
    seq: int | None = None
    timestamp: int | None = None


class _KindFrame(msgspec.Struct, array_like=True, gc=False):
    channel_id: int
    kind: str
    seq: int | None = None
    timestamp: int | None = None


_update_frame = msgspec.json.Decoder(BookUpdate).decode
_row_frame = msgspec.json.Decoder(_RowFrame).decode
_rows_frame = msgspec.json.Decoder(_RowsFrame).decode
_trade_frame = msgspec.json.Decoder(_TradeFrame).decode
_checksum_frame = msgspec.json.Decoder(_ChecksumFrame).decode
_kind_frame = msgspec.json.Decoder(_KindFrame).decode
_any_json = msgspec.json.Decoder().decode
_any_list = msgspec.json.Decoder(list[Any]).decode
_event_object = msgspec.json.Decoder(dict[str, Any]).decode
_rest_rows = msgspec.json.Decoder(_AnyRows).decode
_Positive = Annotated[int, msgspec.Meta(gt=0)]
_Price = Annotated[float, msgspec.Meta(gt=0)]
_rest_trades = msgspec.json.Decoder(list[tuple[_Positive, _Positive, float, _Price]]).decode

_ARRAY, _OBJECT, _LIST, _TEXT = b'[{["'
_TRADE_KINDS = (b'"te"', b'"tu"')
_KINDS = ("te", "tu", "cs", "hb")
_WHITE_SPACE = b" \t\r\n"
_NO_TOKEN = b"[]" + _WHITE_SPACE


def decode(payload: bytes) -> Frame | Event:
    """The message in one text frame from the server.

    Raises MalformedMessage for anything that is not JSON, is not an array frame or an event object, or has a number that is
    no finite number. Deep nesting and huge integers are refused by the decoder.
    """
    # Almost every frame begins `[id,[a,b,c],seq`: what is between the second pair of brackets is the row.
    try:
        body = payload.index(b",") + 1
        if payload[body] == _LIST:
            update = _update_frame(payload)
            (update.text,) = payload[body + 1 : payload.index(b"]")].split()  # white space would cut it into more than one
            return update
        _, kind, *_, rest = payload.split(b",", 4)
        if kind in _TRADE_KINDS:
            return _trade(payload, kind == b'"tu"', rest)
        if kind == b'"cs"':
            return _checksum(payload)
    except (ValueError, IndexError, RecursionError):
        pass  # It is something else, or wrong: the long way finds out what.
    return _rarer_message(payload)


def _rarer_message(payload: bytes) -> Frame | Event:
    try:
        return _decode(payload)
    except (ValueError, TypeError, IndexError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise MalformedMessage(_why(error, payload), payload) from None


def _why(error: Exception, payload: bytes) -> str:
    """Why it is no JSON, if it is none: Python met that as an index out of range, and the like."""
    try:
        _any_json(payload)
    except RecursionError:
        return "nested too deep"
    except UnicodeDecodeError:
        return "not UTF-8"
    except msgspec.MsgspecError as no_json:
        return str(no_json)
    return str(error)


def _decode(payload: bytes) -> Frame | Event:
    try:
        if payload[0] == _OBJECT:
            return _event(_event_object(payload))
        if payload[0] == _ARRAY and b"," in payload:
            return _frame(payload, payload.index(b",") + 1)
        if payload[0] in _WHITE_SPACE:
            return _decode(payload.lstrip())
        raise ValueError("neither an array frame nor an event")
    except msgspec.ValidationError:  # JSON, but not of the shape of a channel that is carried here
        spaced = len(payload.split()) > 1
        return _compacted(payload) if spaced else _unknown_frame(payload)


def _row(payload: bytes, start: int) -> Row:
    """The tokens of the flat array that opens at `start`. White space is legal around a token and is not part of it."""
    inner = payload[start + 1 : payload.index(b"]", start)]
    return tuple(token.strip() for token in inner.split(b","))


def _frame(payload: bytes, body: int) -> Frame:
    kind = payload[body]
    if kind == _LIST and payload[body + 1] not in b"[]":
        frame, row = _row_frame(payload), _row(payload, body)
        return BookUpdate.of(frame.channel_id, row, frame.seq, frame.timestamp)
    if kind == _LIST:
        several, rows = _rows_frame(payload), _rows(payload, body)
        if any(b"null" in row[:3] for row in rows):
            return _unknown_frame(payload)
        return Rows(several.channel_id, rows, several.seq, several.timestamp)
    if kind in _WHITE_SPACE:
        # Space before the body hides its kind. None of the texts in an array frame holds any, so it can be taken out.
        return _compacted(payload)
    if kind != _TEXT:
        return _unknown_frame(payload)
    name = payload[body + 1 : payload.index(b'"', body + 1)]
    if b'"%b"' % name in _TRADE_KINDS:
        return _trade(payload, name == b"tu", payload.split(b",", 4)[-1])
    if name == b"cs":
        return _checksum(payload)
    if name == b"hb":
        beat = _kind_frame(payload)
        return Heartbeat(beat.channel_id, beat.seq, beat.timestamp)
    return _unknown_frame(payload)


def _trade(payload: bytes, confirmed: bool, rest: bytes) -> TradeExecuted:
    """`rest` begins with the amount: `AMOUNT,PRICE],seq`."""
    try:
        frame = _trade_frame(payload)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    amount, price = rest[: rest.index(b"]")].split(b",")[:2]
    trade = frame.numbers.trade(amount.strip(), price.strip())
    return TradeExecuted(frame.channel_id, confirmed, trade, frame.seq, frame.timestamp)


def _checksum(payload: bytes) -> Checksum:
    frame = _checksum_frame(payload)
    return Checksum(frame.channel_id, frame.value, frame.seq, frame.timestamp)


def _compacted(payload: bytes) -> Frame:
    _any_list(payload)  # `[5, [1 2,3,4]]` is no JSON, and must not become some
    message = _decode(b"".join(payload.split()))
    assert not isinstance(message, Event)  # an array frame stays one
    return message


def _unknown_frame(payload: bytes) -> UnknownFrame:
    """A frame of a channel or kind that is not carried: status, ticker, funding trades.

    Its sequence number stands after the body, or after the kind where that is all. A body may be a number, as a checksum's:
    then it is one more than the sequence number and the time.
    """
    items = _any_list(payload)
    channel_id = _integer(items[0])
    types = [type(item) for item in items[2:5]]
    after = 3 if isinstance(items[1], str) and (types[:1] == [list] or types == [int, int, int]) else 2
    numbers = [item for item in items[after : after + 2] if type(item) is int]
    seq, timestamp, *_ = [*numbers, None, None]
    kind = items[1] if isinstance(items[1], str) and items[1] not in _KINDS else ""
    return UnknownFrame(channel_id, kind, seq, timestamp)


def _rows(payload: bytes, start: int) -> list[Row]:
    """The tokens of the array of flat arrays that opens at `start`; empty rows are left out (node #433 met one)."""
    text = b"".join(payload[start:].split())
    if text.startswith(b"[]"):
        return []
    return [tuple(row.split(b",")) for row in text[2 : text.index(b"]]")].split(b"],[") if row]


def _event(event: Mapping[str, Any]) -> Event:
    name = str(event.get("event"))
    decoder = _EVENTS.get(name)
    if decoder is None:
        return UnknownEvent(name)
    try:
        return decoder(event)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{name} event, missing or wrong field: {error}") from None


def _info(event: Mapping[str, Any]) -> Info:
    platform = event.get("platform") or {}
    if not isinstance(platform, dict):
        raise TypeError("platform is not an object")
    status = platform.get("status")
    return Info(
        _major(event.get("version")),
        _integer_or_none(event.get("code")),
        one_line(str(event.get("msg", ""))),
        None if status is None else status == 1,
    )


def _major(version: object) -> int | None:
    """Of a version like 1.1, which is what the old interface says, the part that decides (docs ws-general)."""
    return int(version) if isinstance(version, float) else _integer_or_none(version)


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value


def _integer_or_none(value: object) -> int | None:
    return None if value is None else _integer(value)


_EVENTS: dict[str, Callable[[Mapping[str, Any]], Event]] = {
    "info": _info,
    "conf": lambda e: ConfAck(e.get("status") == "OK", _integer(e.get("flags", 0))),
    "subscribed": lambda e: Subscribed(_integer(e["chanId"]), e),
    "unsubscribed": lambda e: Unsubscribed(_integer(e["chanId"])),
    "error": lambda e: Refused(_integer(e["code"]), one_line(str(e.get("msg", ""))), e),
    "pong": lambda e: Pong(_integer_or_none(e.get("cid")), _integer_or_none(e.get("ts"))),
}


def decode_trades(body: bytes) -> list[Trade]:
    """The trades in `[[ID,MTS,AMOUNT,PRICE],…]`, which is what REST answers. Raises ValueError when it is anything else.

    A page has up to 10,000 of them, and the books wait for it: so they are all decoded by one call, and cut by another.
    """
    try:
        numbers = _rest_trades(body)
    except (msgspec.MsgspecError, RecursionError):
        return _odd_trades(body)
    ids, times, amounts, _prices = zip(*numbers, strict=True) if numbers else ((), (), (), ())
    if 0 in amounts:
        return _odd_trades(body)
    tokens = body.translate(None, _NO_TOKEN).split(b",")
    return list(map(Trade, ids, times, tokens[2::4], tokens[3::4]))


def _odd_trades(body: bytes) -> list[Trade]:
    """One by one: there are further fields, or something is wrong."""
    try:
        _rest_rows(body)
        compact = b"".join(body.split())
        return [Trade.of(row) for row in _rows(compact, 0)]
    except (msgspec.MsgspecError, IndexError, RecursionError) as error:
        raise ValueError(f"not a list of trades: {error}") from None


# --- what a client asks, and the server's answers -----------------------------------------------------------


def decode_request(payload: bytes) -> Request:
    """What a client asks. Raises MalformedMessage for text that is no JSON object: Bitfinex does not answer that at all."""
    try:
        request = _event_object(payload)
        match request.pop("event", None):
            case "conf":
                return Conf(_integer(request.get("flags", 0)))
            case "subscribe":
                return Subscribe(str(request.pop("channel", "")), str(request.pop("symbol", "")), request)
            case "unsubscribe":
                return Unsubscribe(_integer(request.get("chanId", 0)))
            case "ping":
                return Ping(request.get("cid"))
            case name:
                return UnknownRequest(str(name), request)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedMessage(str(error), payload) from None


def encode_event(event: Mapping[str, Any]) -> bytes:
    """An event object, compact, in the order given."""
    return msgspec.json.encode(event)


def encode_frame(channel_id: int, *body: bytes, seq: int | None = None, timestamp: int | None = None) -> bytes:
    """An array frame of parts that are JSON already: `encode_frame(7, b'"te"', encode_row(row), seq=3)`."""
    tail = [b"%d" % number for number in (seq, timestamp) if number is not None]
    return b"[%d,%b]" % (channel_id, b",".join([*body, *tail]))


def encode_row(row: Iterable[bytes]) -> bytes:
    """`[a,b,c]` of tokens."""
    return b"[%b]" % b",".join(row)


def encode_rows(rows: Iterable[Iterable[bytes]]) -> bytes:
    """`[[a,b,c],…]` of tokens."""
    return b"[%b]" % b",".join(map(encode_row, rows))
