"""CSV: lines of cells, some columns inputs and some labels.

A block of lines is parsed by NumPy at once; only when that fails is it read again cell by cell, to
name the row and column at fault. Cells may be quoted but hold no line breaks.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Shape
from agentd.engine.data.dataset import Block, Target
from agentd.engine.data.errors import DataError, show

BLOCK_LINES = 4096
MAX_LINE = 16 << 20
LARGEST = float(np.finfo(np.float32).max)
DELIMITERS = (",", ";", "\t", "|", " ")


class CsvReader:
    """One CSV file. ``labels`` are column names or positions (negative: from the end).

    Without ``header`` the first line counts as one when no cell of its input columns is a number.
    ``inputs`` are all other columns unless given. Positions count from 0.
    """

    format = "csv"
    count: int | None = None
    mapped: NDArray[Any] | None = None

    def __init__(
        self,
        path: Path,
        *,
        labels: tuple[str | int, ...] = (-1,),
        inputs: tuple[str | int, ...] | None = None,
        header: bool | None = None,
        delimiter: str | None = None,
        target: Target = "auto",
    ) -> None:
        self.file = str(path)
        self._path, self._target = path, target
        first = self._first_cells(delimiter)
        self._width = len(first)
        by_name = any(isinstance(key, str) for key in (*labels, *(inputs or ())))
        if header is None and not by_name:
            _, columns = self._choose(None, labels, inputs)
            header = all(_number(first[i]) is None and first[i] for i in columns)
        self._header = bool(header or by_name)
        names = first if self._header else None
        self._labels, self._inputs = self._choose(names, labels, inputs)
        self.columns = tuple(first) if self._header else ()
        self.shape: Shape = (len(self._inputs),)
        self.label = self._name(self._labels[0]) if len(self._labels) == 1 else None
        self._text = len(self._labels) == 1 and target != "value" and self._labels_are_text()

    def blocks(self) -> Iterator[Block]:
        for rows, lines in self._lines():
            cells = None if self._text else self._parse_fast(lines)
            if cells is None:
                yield self._parse_slowly(rows, lines)
                continue
            if not (np.abs(cells) <= LARGEST).all():
                self._parse_slowly(rows, lines)  # names the cell
            targets = cells[:, self._labels] if self._labels else None
            yield Block(cells[:, self._inputs].astype(np.float32), targets, rows)

    # -- columns -----------------------------------------------------------------------------

    def _choose(
        self,
        names: list[str] | None,
        labels: tuple[str | int, ...],
        inputs: tuple[str | int, ...] | None,
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the positions of labels and inputs."""
        chosen = [self._position(key, names) for key in labels]
        if inputs is None:
            rest = [i for i in range(self._width) if i not in chosen]
        else:
            rest = [self._position(key, names) for key in inputs]
        if both := set(rest) & set(chosen):
            raise self._fault("both input and label", column=min(both) + 1)
        if not rest:
            raise self._fault(
                "too few columns", row=1, expected=f"at least {len(chosen) + 1}", got=self._width
            )
        return tuple(chosen), tuple(rest)

    def _position(self, key: str | int, names: list[str] | None) -> int:
        if isinstance(key, str):
            if names is None or key not in names:
                known = ", ".join((names or [])[:12]) or "no header"
                raise self._fault("no such column", row=1, column=key, expected=f"one of {known}")
            return names.index(key)
        if not -self._width <= key < self._width:
            raise self._fault(
                "no such column",
                row=1,
                expected=f"a position from {-self._width} to {self._width - 1}",
                got=key,
            )
        return key % self._width

    def _name(self, position: int) -> str | int:
        return self.columns[position] if self.columns else position + 1

    def _labels_are_text(self) -> bool:
        for _, lines in self._lines():
            cells = self._cells(lines[0])
            at = self._labels[0]
            return at < len(cells) and _number(cells[at]) is None and cells[at] != ""
        return False

    # -- lines -------------------------------------------------------------------------------

    def _first_cells(self, delimiter: str | None) -> list[str]:
        self._header = False
        self._delimiter = delimiter or ","
        for _, lines in self._lines():
            if delimiter is None:
                self._delimiter = max(DELIMITERS, key=lines[0].count)
                if lines[0].count(self._delimiter) == 0:
                    self._delimiter = ","
            return [cell.strip() for cell in self._cells(lines[0])]
        raise self._fault("no rows", expected="at least one")

    def _lines(self) -> Iterator[tuple[NDArray[np.int64], list[str]]]:
        """Yield (line numbers, lines) without blank lines and without the header."""
        rows: list[int] = []
        lines: list[str] = []
        skip = self._header
        with self._path.open("rb") as file:
            number = 0
            while raw := file.readline(MAX_LINE):
                number += 1
                text = self._decode(raw, number)
                if not text.strip():
                    continue
                if skip:
                    skip = False
                    continue
                rows.append(number)
                lines.append(text)
                if len(lines) == BLOCK_LINES:
                    yield np.array(rows), lines
                    rows, lines = [], []
        if lines:
            yield np.array(rows), lines

    def _decode(self, raw: bytes, number: int) -> str:
        if len(raw) >= MAX_LINE:
            raise self._fault("line too long", row=number)
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as fault:
            got = raw[fault.start : fault.start + 1].hex()
            raise self._fault(
                "not UTF-8", row=number, expected="UTF-8", got=f"byte {got}"
            ) from None
        if "\0" in text:
            raise self._fault("a NUL byte", row=number, expected="text")
        return text.rstrip("\r\n")

    # -- cells -------------------------------------------------------------------------------

    def _parse_fast(self, lines: list[str]) -> NDArray[np.float64] | None:
        """Return the cells (n, width), or None where they must be looked at one by one."""
        try:
            cells: NDArray[np.float64] = np.loadtxt(
                lines, np.float64, comments=None, delimiter=self._delimiter, ndmin=2, quotechar='"'
            )
        except ValueError:
            return None
        return cells if cells.shape == (len(lines), self._width) else None

    def _parse_slowly(self, rows: NDArray[np.int64], lines: list[str]) -> Block:
        inputs = np.empty((len(lines), len(self._inputs)), np.float32)
        targets: list[Any] = []
        for i, (row, line) in enumerate(zip(rows.tolist(), lines, strict=True)):
            cells = self._cells(line, row)
            if len(cells) != self._width:
                raise self._fault(
                    "too few columns" if len(cells) < self._width else "too many columns",
                    row=row,
                    expected=f"{self._width} columns",
                    got=len(cells),
                )
            inputs[i] = [self._read(cells[at], row, at) for at in self._inputs]
            if self._text:
                targets.append(cells[self._labels[0]].strip())
            else:
                targets.append([self._read(cells[at], row, at) for at in self._labels])
        return Block(inputs, np.array(targets) if self._labels else None, rows)

    def _cells(self, line: str, row: int = 1) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=self._delimiter, strict=True))
        except csv.Error as fault:
            raise self._fault(f"no CSV line: {fault}", row=row) from None

    def _read(self, cell: str, row: int, at: int) -> float:
        number = _number(cell)
        if number is None or not np.isfinite(number) or abs(number) > LARGEST:
            raise self._fault(
                "no number" if number is None else "not a finite float32",
                row=row,
                column=self._name(at),
                expected="a number",
                got=show(cell) if cell.strip() else "an empty cell",
            )
        return number

    def _fault(self, message: str, **place: Any) -> DataError:
        return DataError(message, file=self.file, **place)


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


class CsvWriter:
    """Writes rows as CSV with a header: x0, x1, ... and y0, ... or ``label``."""

    def __init__(self, path: Path, names: tuple[str, ...] = ()) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._names, self._begun = names, False

    def write(self, inputs: NDArray[Any], targets: NDArray[Any]) -> None:
        """Append rows: inputs (n, D), targets (n,) classes or (n, K) numbers."""
        if not self._begun:
            y = ["label"] if targets.ndim == 1 else [f"y{i}" for i in range(targets.shape[1])]
            self._csv.writerow([f"x{i}" for i in range(inputs.shape[1])] + y)
            self._begun = True
        for x, y in zip(inputs.tolist(), targets.tolist(), strict=True):
            label = [self._names[y] if self._names else y] if not isinstance(y, list) else y
            self._csv.writerow([_short(value, inputs.dtype) for value in x] + label)

    def close(self) -> None:
        self._file.close()


def _short(value: float, dtype: np.dtype[Any]) -> Any:
    """The shortest text that reads back as the same float32."""
    return str(np.float32(value)) if dtype == np.float32 else value
