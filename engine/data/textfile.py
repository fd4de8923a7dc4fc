"""Text files, line by line: UTF-8 with a mark or without, gzipped or not, any line ends."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from agentd.engine.data.errors import DataError

MAX_LINE = 16 << 20
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line with its end). Raises DataError naming the row, OSError."""
    number = 0
    try:
        with path.open("rb") as raw:
            plain = _unpacked(path, raw)
            file = io.TextIOWrapper(plain, "utf-8-sig", "surrogateescape", newline="")
            while line := file.readline(MAX_LINE):
                number += 1
                _check(line, number, path)
                yield number, line
    except EOFError:
        raise DataError("truncated gzip", file=str(path), row=number + 1) from None
    except (zlib.error, gzip.BadGzipFile) as fault:
        text = " ".join(str(fault).split())
        raise DataError(f"damaged gzip: {text}", file=str(path), row=number + 1) from None


def _unpacked(path: Path, raw: io.BufferedReader) -> io.BufferedReader:
    """Return the bytes of a file, unpacked where it is gzipped. Raises DataError for UTF-16."""
    plain = raw
    if path.suffix == ".gz" or raw.peek(2)[:2] == _GZIP:
        plain = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=raw)))
    if plain.peek(2)[:2] in _UTF16:
        hint = "save it as UTF-8"
        raise DataError("not UTF-8", file=str(path), expected="UTF-8", got="UTF-16", hint=hint)
    return plain


def _check(line: str, number: int, path: Path) -> None:
    if len(line) >= MAX_LINE:
        raise DataError("line too long", file=str(path), row=number)
    if "\0" in line:
        raise DataError("a NUL byte", file=str(path), row=number, expected="text")
    if line.isascii():
        return
    try:
        line.encode()
    except UnicodeEncodeError as fault:  # where decoding let a byte pass
        got = f"byte {ord(line[fault.start]) - 0xDC00:02x}"
        raise DataError(
            "not UTF-8", file=str(path), row=number, expected="UTF-8", got=got
        ) from None
