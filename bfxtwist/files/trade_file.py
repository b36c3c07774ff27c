"""One trade file or rotated part, plain, .gz or .zst: its rows in blocks, and whatever else stands in it as faults.

A file is read once, from front to end, a megabyte at a time. A line is a row to its last byte or it is a fault; nothing is
repaired. The file may be the live one of a running daemon.
"""

import gzip
import io
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, NamedTuple, cast

from bfxtwist.core.errors import excerpt
from bfxtwist.core.trade_rows import BYTE_ORDER_MARK, HEADER
from bfxtwist.files.findings import Fault, Kind

#: Exchange and symbol, timestamp, local timestamp (µs), id, and the rest of the line: `side,price,amount`.
Row = tuple[bytes, bytes, bytes, bytes, bytes]

#: A JSON number above zero: without a sign or leading zeros, and with a digit before the exponent that is not 0.
_POSITIVE = rb"(?=[0.]*[1-9])(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"

#: Times have 16 digits of microseconds from 2001 to 2286. The exchange's own are whole milliseconds.
_FIELDS = (
    ("exchange", rb"[a-z-]+", "a name in small letters"),
    ("symbol", rb"[A-Z0-9:]+", "a symbol as the exchange writes it, without its t"),
    ("timestamp", rb"[1-9][0-9]{12}000", "µs since the epoch, in whole milliseconds"),
    ("local_timestamp", rb"[1-9][0-9]{15}", "µs since the epoch"),
    ("id", rb"[1-9][0-9]{0,17}", "a trade's id"),
    ("side", rb"buy|sell", "buy or sell"),
    ("price", _POSITIVE, "a JSON number above 0"),
    ("amount", _POSITIVE, "a JSON number above 0"),
)
#: A whole line that is a row, in the parts of `Row`.
ROW = re.compile(
    b"^(%b,%b),(%b),(%b),(%b),((?:%b),%b,%b)$" % tuple(pattern for _, pattern, _ in _FIELDS), re.MULTILINE
)

_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 16

#: A running daemon writes whole rows, but a reader can meet them half way. Seconds until the rest is surely there.
_HALF_WAY = 0.2

#: The beginning of a Zstandard frame, and a bit of the byte after it.
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_HAS_CHECKSUM = 1 << 2


class Block(NamedTuple):
    """One or more rows that stand one below the other, and the line number of the first."""

    first_line: int
    rows: list[Row]


class MissingDecompressor(Exception):
    """A .zst part, and nothing that reads it."""


def read_trade_file(path: Path, advance: Callable[[int], None] = lambda _: None) -> Iterator[Block | Fault]:
    """The rows and the faults of one part, in the order of the file.

    `advance` is told how many bytes on disk have been read. Raises OSError, and MissingDecompressor.
    """
    try:
        with _opened(path) as (file, raw):
            yield from _body(path, file, raw, advance)
    except _errors_of_decompression(path) as error:
        yield Fault(Kind.ARCHIVE, str(path), f"the compressed data are damaged: {error}")


def failed_check(path: Path) -> Fault | None:
    """Why nobody can say which rows of a compressed part are true; the damage may lie far above the place where it shows.

    That its end is missing is no reason: what is there is true. Raises as `read_trade_file`.
    """
    if path.suffix not in (".gz", ".zst"):
        return None
    try:
        with _opened(path) as (file, _):
            while file.read(_CHUNK):
                pass
    except EOFError:
        return None
    except _errors_of_decompression(path) as error:
        return Fault(Kind.ARCHIVE, str(path), f"the compressed data are damaged: {error}")
    return None


def lacks_checksum(path: Path) -> bool:
    """Whether a part is a .zst without a checksum (RFC 8878, 3.1.1.1.1): damaged, it may look whole. Raises OSError."""
    if path.suffix != ".zst":
        return False
    with path.open("rb") as file:
        head = file.read(len(_ZSTANDARD) + 1)
    return head.startswith(_ZSTANDARD) and len(head) > len(_ZSTANDARD) and not head[-1] & _HAS_CHECKSUM


@contextmanager
def _opened(path: Path) -> Iterator[tuple[io.BufferedIOBase, BinaryIO]]:
    """The file to read from, and the one beneath it, whose position is that on disk."""
    with path.open("rb") as raw:
        if path.suffix == ".gz":
            with gzip.open(raw) as file:
                yield file, raw
        elif path.suffix == ".zst":
            with zstandard().open(raw) as file:
                yield file, raw
        else:
            yield raw, raw


def zstandard() -> ModuleType:
    """The standard library's module (Python 3.14), or the same one as a package. Raises MissingDecompressor."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd  # type: ignore[import-not-found,no-redef,unused-ignore]
        except ImportError:
            raise MissingDecompressor("to read .zst files: pip install backports.zstd") from None
    return cast(ModuleType, zstd)


def _errors_of_decompression(path: Path) -> tuple[type[Exception], ...]:
    return (EOFError, zstandard().ZstdError) if path.suffix == ".zst" else (EOFError, zlib.error, gzip.BadGzipFile)


def _body(path: Path, file: io.BufferedIOBase, raw: BinaryIO, advance: Callable[[int], None]) -> Iterator[Block | Fault]:
    first, rest = file.readline(_LONGEST_LINE), b""
    if first != HEADER:
        yield Fault(Kind.HEADER, f"{path}:1", _diagnosis_of_header(first))
        if ROW.fullmatch(first.removesuffix(b"\n")):
            rest = first
    line, position, torn = 1 if rest else 2, 0, rest
    while True:
        for lines, left_over in _whole_lines(file, rest):
            torn = left_over
            yield from _examined(path, lines, line)
            line += lines.count(b"\n")
            reached = raw.tell() if raw.seekable() else 0  # what comes through a pipe has no place
            advance(reached - position)
            position = reached
        if len(torn) <= _LONGEST_LINE:
            break
        yield Fault(*_endless_line(file, torn, f"{path}:{line}"))
        line, torn, rest = line + 1, b"", b""
    if torn:
        kind, text = _diagnosis_of_tail(torn)
        yield Fault(kind, f"{path}:{line}", text)


def _endless_line(file: io.BufferedIOBase, beginning: bytes, where: str) -> tuple[Kind, str, str]:
    """Read on to the end of what is no line, a hole of zeros perhaps: good rows may follow it."""
    length, nuls = len(beginning), beginning.count(0)
    while piece := file.readline(_CHUNK):
        length, nuls = length + len(piece), nuls + piece.count(0)
        if piece.endswith(b"\n"):
            break
    if nuls:
        return Kind.NUL, where, f"{nuls} NUL bytes"
    return Kind.ROW, where, f"no line ends for {length} bytes"


def _diagnosis_of_header(first: bytes) -> str:
    if not first:
        return "the file is empty"
    if first.startswith(BYTE_ORDER_MARK):
        return "the file begins with a byte order mark"
    if first == HEADER[:-1] + b"\r\n":
        return "the line ends in CR LF instead of LF"
    return f"the header is missing: {excerpt(first)}"


def _diagnosis_of_tail(torn: bytes) -> tuple[Kind, str]:
    if nuls := torn.count(0):
        return Kind.NUL, f"{nuls} NUL bytes in the last {len(torn)}, which are no whole row"
    return Kind.TORN, f"the last row is torn after {len(torn)} bytes: {excerpt(torn)}"


def _whole_lines(file: io.BufferedIOBase, rest: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Chunks that end with a line, each with the beginning of the line after it."""
    waited = False
    while len(rest) <= _LONGEST_LINE:
        chunk = file.read1(_CHUNK)  # read would lose what it has by then to an archive whose end is missing
        if not chunk:
            if not rest or waited:
                return
            waited = True
            time.sleep(_HALF_WAY)
            continue
        waited = False
        whole, line_end, rest = (rest + chunk).rpartition(b"\n")
        yield whole + line_end, rest


def _examined(path: Path, lines: bytes, first_line: int) -> Iterator[Block | Fault]:
    rows = ROW.findall(lines)
    if len(rows) == lines.count(b"\n"):
        if rows:
            yield Block(first_line, rows)
        return
    rows = []
    for number, line in enumerate(lines.split(b"\n")[:-1], first_line):
        row = ROW.fullmatch(line)
        if row is not None:
            rows.append(cast(Row, row.groups()))
            continue
        if rows:
            yield Block(number - len(rows), rows)
            rows = []
        kind, text = diagnosis(line)
        yield Fault(kind, f"{path}:{number}", text)
    if rows:
        yield Block(first_line + lines.count(b"\n") - len(rows), rows)


def diagnosis(line: bytes) -> tuple[Kind, str]:
    """What is wrong with a line that is no row."""
    if not line:
        return Kind.ROW, "the line is empty"
    if b"\0" in line:
        return Kind.NUL, f"{line.count(0)} NUL bytes"
    if line + b"\n" == HEADER:
        return Kind.HEADER, "a second header"
    if line.endswith(b"\r"):
        return Kind.ROW, "the line ends in CR LF instead of LF"
    fields = line.split(b",")
    if len(fields) != len(_FIELDS):
        return Kind.ROW, f"{len(fields)} fields instead of {len(_FIELDS)}: {excerpt(line)}"
    for (name, pattern, meaning), field in zip(_FIELDS, fields, strict=True):
        if not re.fullmatch(pattern, field):
            return Kind.ROW, f"{name} {excerpt(field)!r} is not {meaning}"
    raise AssertionError(f"a row was taken for damage: {line!r}")
