"""NumPy's own files: .npz with inputs and targets by name, .npy with a table. Never unpickled.

What a header claims is compared with the bytes that are there before anything is allocated.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from agentd.engine.backend import Shape
from agentd.engine.data.dataset import Block, Columns
from agentd.engine.data.errors import DataError

INPUTS = ("x", "X", "inputs", "input", "images", "data", "features")
TARGETS = ("y", "Y", "targets", "target", "labels", "label", "expected")
BLOCK_BYTES = 4 << 20
_DEFLATE_LIMIT = 1100  # deflate cannot do better than 1032 to 1


class NpzReader:
    """x and y of an .npz file; ``x_train``/``x_test`` and the like are taken by ``part``."""

    format = "npz"
    label = None
    columns: Columns | None = None
    description = ""
    mapped: NDArray[Any] | None = None

    def __init__(self, path: Path, part: str = "train") -> None:
        self.file = str(path)
        arrays = load_npz(path)
        x_name = _find(arrays, INPUTS, part)
        y_name = _find(arrays, TARGETS, part)
        if x_name is None:
            x_name, y_name = _by_position(arrays, part)
            self.description = f"inputs {x_name}, label {y_name}" if x_name else ""
        if x_name is None:
            raise DataError(
                "no inputs",
                file=self.file,
                expected="an array `x`",
                got=", ".join(arrays) or "none",
            )
        self._x = _numbers(arrays[x_name], x_name, self.file)
        self._y = _numbers(arrays[y_name], y_name, self.file) if y_name else None
        if self._x.ndim < 1 or self._x.size == 0:
            raise DataError("no rows", file=self.file, column=x_name, got=f"shape {self._x.shape}")
        self.count: int | None = len(self._x)
        self.shape: Shape = self._x.shape[1:] or (1,)
        if self._y is not None and (self._y.ndim > 2 or len(self._y) != self.count):
            raise DataError(
                "targets do not fit the inputs",
                file=self.file,
                column=y_name,
                expected=f"{self.count} rows of at most 1 dimension",
                got=f"shape {self._y.shape}",
            )

    def blocks(self) -> Iterator[Block]:
        yield from _blocks(self.file, self._x.reshape(len(self._x), -1), self._y)


class NpyReader:
    """A table (N, columns) in an .npy file, mapped into memory; ``labels`` are positions.

    A table of ``inputs`` columns has no labels.
    """

    format = "npy"
    columns: Columns | None = None
    description = ""

    def __init__(
        self, path: Path, labels: tuple[str | int, ...] = (-1,), inputs: int | None = None
    ) -> None:
        self.file = str(path)
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size, self.file)
        try:
            table: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as fault:
            raise DataError(f"no .npy file: {fault}", file=self.file) from None
        _numbers(table[:0], "table", self.file)
        if table.ndim == 2 and table.shape[1] == inputs:
            labels = ()
        if table.ndim != 2 or table.shape[1] <= len(labels) or not len(table):
            raise DataError(
                "no table",
                file=self.file,
                expected=f"rows of more than {len(labels)} columns",
                got=f"shape {table.shape}",
            )
        width = table.shape[1]
        for key in labels:
            if not isinstance(key, int) or not -width <= key < width:
                raise DataError(
                    "no such column",
                    file=self.file,
                    expected=f"a position from {-width} to {width - 1}",
                    got=key,
                )
        self._table = table
        self._labels = [int(key) % width for key in labels]
        self._inputs = [i for i in range(width) if i not in self._labels]
        self.label = self._labels[0] + 1 if len(self._labels) == 1 else None
        self.count: int | None = len(table)
        self.shape: Shape = (len(self._inputs),)

    @property
    def mapped(self) -> NDArray[Any] | None:
        """The table's first columns, where the labels are the last ones."""
        width = len(self._inputs)
        plain = self._table.dtype in (np.float32, np.uint8, np.int8)
        return self._table[:, :width] if plain and self._inputs == [*range(width)] else None

    def blocks(self) -> Iterator[Block]:
        step = max(1, BLOCK_BYTES // (8 * self._table.shape[1]))
        for start in range(0, len(self._table), step):
            piece = np.asarray(self._table[start : start + step])
            targets = piece[:, self._labels] if self._labels else None
            yield from _blocks(self.file, piece[:, self._inputs], targets, start)


def load_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file. Raises DataError for anything but plain numbers."""
    found: dict[str, NDArray[Any]] = {}
    raw = path.open("rb")  # what the file system says is no fault of the data
    try:
        with raw, zipfile.ZipFile(raw) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if entry.file_size > entry.compress_size * _DEFLATE_LIMIT + 1024:
                    raise DataError("claims more than it can hold", file=str(path), column=name)
                with archive.open(entry) as file:
                    _check_header(file, entry.file_size, str(path), name)
                with archive.open(entry) as file:
                    found[name] = npy.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except Exception as fault:  # zipfile and NumPy raise a dozen kinds for damaged bytes
        text = " ".join(str(fault).split()) or type(fault).__name__
        raise DataError(f"no .npz file: {text}", file=str(path)) from None
    return found


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as a compressed .npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _check_header(file: IO[bytes], size: int, name: str, column: str | None = None) -> None:
    """Refuse an .npy header that is none, holds objects, or claims another size than ``size``."""
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
    except Exception as fault:  # NumPy parses the header as Python: any of its errors may come
        text = " ".join(str(fault).split()) or type(fault).__name__
        raise DataError(f"no .npy header: {text}", file=name, column=column) from None
    if dtype.hasobject:
        raise DataError("holds Python objects", file=name, column=column, expected="numbers")
    want = prod(shape) * dtype.itemsize + file.tell()
    if want != size:
        what = "truncated" if size < want else "bytes after the last number"
        raise DataError(
            what, file=name, column=column, expected=f"{want} bytes", got=f"{size} bytes"
        )


def _find(arrays: dict[str, NDArray[Any]], names: tuple[str, ...], part: str) -> str | None:
    parted = [f"{name}_{part}" for name in names] + [f"{part}_{name}" for name in names]
    return next((name for name in (*parted, *names) if name in arrays), None)


def _by_position(arrays: dict[str, NDArray[Any]], part: str) -> tuple[str | None, str | None]:
    """Return the names of x and y among arrays that `np.savez` numbered.

    They are x, or x and y, or both of train and test: x, y, x, y, or as scikit-learn splits them
    x, x, y, y.
    """
    names = [f"arr_{i}" for i in range(len(arrays))]
    if set(arrays) != set(names) or len(names) not in (1, 2, 4):
        return None, None
    if len(names) < 4:
        return names[0], names[1] if len(names) > 1 else None
    x, second, third, _ = (arrays[name] for name in names)
    split = second.shape[1:] == x.shape[1:] and second.ndim > 1 and third.shape[:1] == x.shape[:1]
    at, gap = (1 if split else 2) * (part == "test"), 2 if split else 1
    return names[at], names[at + gap]


def _numbers(array: NDArray[Any], name: str, file: str) -> NDArray[Any]:
    if array.dtype.kind not in "buif" and not (array.dtype.kind == "U" and array.ndim == 1):
        raise DataError("no numbers", file=file, column=name, expected="numbers", got=array.dtype)
    return array


def _blocks(
    file: str, inputs: NDArray[Any], targets: NDArray[Any] | None, start: int = 0
) -> Iterator[Block]:
    """Cut arrays into blocks; refuse what is not finite."""
    step = max(1, BLOCK_BYTES // max(1, inputs.itemsize * inputs.shape[1]))
    for at in range(0, len(inputs), step):
        x = inputs[at : at + step]
        y = None if targets is None else targets[at : at + step]
        for name, part in (("x", x), ("y", y)):
            if part is None or part.dtype.kind != "f" or np.isfinite(part).all():
                continue
            first = np.argwhere(~np.isfinite(part))[0]
            raise DataError(
                "not finite",
                file=file,
                row=start + at + int(first[0]) + 1,
                column=name,
                expected="a number",
                got=part[tuple(first)],
            )
        yield Block(x, y, range(start + at + 1, start + at + 1 + len(x)))
