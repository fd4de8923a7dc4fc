"""IDX, the format of MNIST (LeCun et al. 1998): one array of one type, perhaps gzipped.

Two zero bytes, a type byte, the number of dimensions; then each dimension as a big-endian uint32;
then the numbers, big-endian, the first dimension slowest.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Shape
from agentd.engine.data.dataset import Block, Columns
from agentd.engine.data.errors import DataError

TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
MAX_DIMENSIONS = 8
BLOCK_BYTES = 4 << 20


class IdxArray:
    """One IDX file: its header at once, its numbers in blocks of rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _open(path) as file:
            self.dtype, self.shape = self._header(file)
        self.row_bytes = self.dtype.itemsize * prod(self.shape[1:])
        if path.suffix != ".gz":
            want = 4 + 4 * len(self.shape) + self.row_bytes * self.shape[0]
            if (size := path.stat().st_size) != want:
                raise self._size_error(want, size)

    def map(self) -> NDArray[Any] | None:
        """Return the array (N, ...) as a view of the file; None where it holds other bytes."""
        if self.path.suffix == ".gz" or self.dtype.itemsize != 1 or 0 in self.shape:
            return None
        start = 4 + 4 * len(self.shape)
        return np.memmap(self.path, self.dtype, mode="r", offset=start, shape=self.shape)

    def blocks(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield the array (N, ...) in pieces of ``rows`` rows, in native byte order."""
        with _open(self.path) as file:
            header = 4 + 4 * len(self.shape)
            done = len(self._read(file, header))
            for start in range(0, self.shape[0], rows):
                n = min(rows, self.shape[0] - start)
                data = self._read(file, n * self.row_bytes)
                done += len(data)
                if len(data) != n * self.row_bytes:
                    raise self._size_error(header + self.row_bytes * self.shape[0], done)
                piece = np.frombuffer(data, self.dtype).reshape(n, *self.shape[1:])
                yield piece.astype(self.dtype.newbyteorder("="), copy=False)
            if self._read(file, 1):
                raise DataError("bytes after the last number", file=str(self.path))

    def _header(self, file: IO[bytes]) -> tuple[np.dtype[Any], Shape]:
        head = self._read(file, 4)
        known = len(head) == 4 and head[:2] == b"\0\0" and head[2] in TYPES
        if not known or not 1 <= head[3] <= MAX_DIMENSIONS:
            raise DataError(
                "no IDX file",
                file=str(self.path),
                expected="0000, a type and 1 to 8 dimensions",
                got=head.hex() or "nothing",
            )
        sizes = self._read(file, 4 * head[3])
        if len(sizes) != 4 * head[3]:
            raise self._size_error(4 + 4 * head[3], 4 + len(sizes))
        return TYPES[head[2]], tuple(int(size) for size in np.frombuffer(sizes, ">u4"))

    def _read(self, file: IO[bytes], size: int) -> bytes:
        """Return ``size`` bytes, or fewer at the end; never asks for all at once."""
        pieces = []
        try:
            while size > 0 and (piece := file.read(min(size, BLOCK_BYTES))):
                pieces.append(piece)
                size -= len(piece)
        except EOFError:  # a gzip that was cut: the sizes will tell
            pass
        except (zlib.error, gzip.BadGzipFile) as fault:
            raise DataError(f"damaged gzip: {fault}", file=str(self.path)) from None
        return b"".join(pieces)

    def _size_error(self, want: int, got: int) -> DataError:
        what = "truncated" if got < want else "too long"
        return DataError(what, file=str(self.path), expected=f"{want} bytes", got=f"{got} bytes")


class IdxReader:
    """Images and their labels, two IDX files whose rows belong together."""

    format = "idx"
    label = None
    columns: Columns | None = None
    description = ""

    def __init__(self, images: Path, labels: Path | None) -> None:
        self.file = str(images)
        self._images = IdxArray(images)
        self._labels = IdxArray(labels) if labels else None
        self.count: int | None = self._images.shape[0]
        self.shape: Shape = self._images.shape[1:] or (1,)
        if prod(self.shape) < 1:
            raise DataError("empty images", file=self.file, got=self._images.shape)
        if self._labels is None:
            return
        if self._labels.shape != (self.count,):
            raise DataError(
                "labels do not fit the images",
                file=str(labels),
                expected=f"{self.count} labels",
                got=" x ".join(map(str, self._labels.shape)),
            )

    @property
    def mapped(self) -> NDArray[Any] | None:
        images = self._images.map()
        return None if images is None else images.reshape(len(images), -1)

    def blocks(self) -> Iterator[Block]:
        rows = max(1, BLOCK_BYTES // max(1, self._images.row_bytes))
        images = self._images.blocks(rows)
        labels: Iterable[Any] = self._labels.blocks(rows) if self._labels else iter(lambda: None, 1)
        done = 0
        for x, y in zip(images, labels, strict=self._labels is not None):
            yield Block(x.reshape(len(x), -1), y, range(done + 1, done + 1 + len(x)))
            done += len(x)


def write_idx(path: Path, array: NDArray[Any]) -> None:
    """Write ``array`` as an IDX file, gzipped where the name ends in .gz."""
    kinds = {kind.newbyteorder("="): code for code, kind in TYPES.items()}
    native = array.dtype.newbyteorder("=")
    if native not in kinds:
        raise DataError("no IDX type", expected="u8, i8, i16, i32, f32 or f64", got=native)
    head = bytes((0, 0, kinds[native], array.ndim))
    head += np.array(array.shape, ">u4").tobytes()
    with gzip.GzipFile(path, "wb", mtime=0) if path.suffix == ".gz" else path.open("wb") as file:
        file.write(head)
        file.write(np.ascontiguousarray(array, TYPES[kinds[native]]).tobytes())


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")
