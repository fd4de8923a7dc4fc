"""CSV: lines of cells, some columns inputs and some labels.

A block of lines is parsed by NumPy at once; only when that fails is it read again cell by cell, to
name the row and column at fault. A quoted cell may hold line ends.
"""

import csv
import gzip
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Shape
from agentd.engine.data.csvform import (
    counts_rows,
    find_form,
    find_label,
    has_header,
    is_index_name,
)
from agentd.engine.data.dataset import Block, Columns, Target
from agentd.engine.data.errors import DataError, show
from agentd.engine.data.textfile import read_lines

BLOCK_LINES = 4096
SAMPLE_LINES = 100
LARGEST = float(np.finfo(np.float32).max)

Keys: TypeAlias = tuple[str | int, ...]
_SIGNS = {"\t": "tab", " ": "blanks"}


class CsvReader:
    """One CSV file. ``labels`` are column names or positions (negative: from the end).

    Without ``labels`` it is the column that is named label, target or class, else the last.
    ``inputs`` are all other columns unless given, but for a named one that only numbers the rows.
    ``like`` are the columns of another file: they are looked for by name where both have names.
    Without ``header`` it is found out whether the first line is one. Positions count from 0.
    """

    format = "csv"
    count: int | None = None
    mapped: NDArray[Any] | None = None

    def __init__(
        self,
        path: Path,
        *,
        labels: Keys | None = None,
        inputs: Keys | None = None,
        header: bool | None = None,
        delimiter: str | None = None,
        target: Target = "auto",
        like: Columns | None = None,
    ) -> None:
        self.file = str(path)
        self._path, self._target = path, target
        lines = [line for _, line in islice(read_lines(path), SAMPLE_LINES)]
        self._form, rows = find_form(lines, delimiter)
        self._header = False
        first = self._first_cells()
        self._width = len(first)
        if like is not None:
            named = like.is_named_in(first, labelled=labels != ())
        else:
            named = any(isinstance(key, str) for key in (*(labels or ()), *(inputs or ())))
        self._header = named or (self._is_header(first, rows[1:]) if header is None else header)
        self.names = tuple(first) if self._header else ()
        if like is not None:
            labels, inputs = self._alike(like, labels)
        elif labels is None:
            labels = (find_label(self.names) if self.names else -1,)
        self._notes: list[str] = []
        self._labels, self._inputs = self._choose(self.names or None, labels, inputs)
        if inputs is None:
            self._leave_index_out(rows[1:] if self._header else rows)
        self.shape: Shape = (len(self._inputs),)
        self.label = self._name(self._labels[0]) if len(self._labels) == 1 else None
        self._text = len(self._labels) == 1 and target != "value" and self._labels_are_text()

    @property
    def columns(self) -> Columns:
        """Which columns are read, as another file of the same kind is read."""
        unique = len(set(self.names)) == len(self.names)
        return Columns(self._inputs, self._labels, self._width, self.names if unique else ())

    @property
    def description(self) -> str:
        """How the file is read, for a person."""
        names = [self.names[at] or f"column {at + 1}" for at in self._inputs if self.names]
        shown = ", ".join([*names[:4], f"... {names[-1]}"] if len(names) > 6 else names)
        parts = [f"inputs {shown}" if names else f"{len(self._inputs)} inputs without names"]
        label = ", ".join(
            str(self._name(at)) if names else f"column {at + 1} (position {at})"
            for at in self._labels
        )
        parts.append(f"label {label}" if label else "no label")
        sign = self._form.delimiter
        parts.append("delimiter " + _SIGNS.get(sign, f"'{sign}'"))
        parts += ["decimal comma"] if self._form.decimal == "," else []
        parts.append("a header" if self._header else "no header")
        return ", ".join(parts + self._notes)

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

    def _is_header(self, first: list[str], rows: list[list[str]]) -> bool:
        inputs = range(max(1, self._width - 1))  # those of a label that is last
        return has_header(first, rows, inputs, self._form)

    def _alike(self, like: Columns, labels: Keys | None) -> tuple[Keys, Keys]:
        """Return the labels and inputs of ``like`` as this file has them."""
        wanted = () if labels == () else like.labels
        if like.names and self.names and len(set(self.names)) == len(self.names):
            return tuple(like.names[i] for i in wanted), tuple(like.names[i] for i in like.inputs)
        if self._width == like.width:
            return wanted, like.inputs
        if self._width == len(like.inputs) and not wanted:
            return (), tuple(range(self._width))
        raise self._fault("another number of columns", row=1, expected=like.width, got=self._width)

    def _leave_index_out(self, rows: list[list[str]]) -> None:
        """Leave out a first column that only numbers the rows, or say that it is learned from."""
        if self._inputs[0] != 0 or len(self._inputs) < 2 or not counts_rows(rows, 0):
            return
        if self._header and is_index_name(self.names[0]):
            self._inputs = self._inputs[1:]
            self._notes.append(f"column {self._name(0)} left out: it numbers the rows")
        elif len(rows) > 5:
            self._notes.append(f"column {self._name(0)} numbers the rows but is learned from")

    def _choose(
        self,
        names: tuple[str, ...] | None,
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

    def _position(self, key: str | int, names: tuple[str, ...] | None) -> int:
        if isinstance(key, str):
            if names is None or key not in names:
                known = ", ".join((names or ())[:12]) or "no header"
                raise self._fault("no such column", row=1, column=key, expected=f"one of {known}")
            if names.count(key) > 1:
                raise self._fault("two columns of that name", row=1, column=key)
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
        return (self.names[position] if self.names else "") or position + 1

    def _labels_are_text(self) -> bool:
        for rows, lines in self._lines():
            cells, at = self._cells(lines[0], int(rows[0])), self._labels[0]
            return at < len(cells) and self._form.number(cells[at]) is None and cells[at] != ""
        return False

    # -- lines -------------------------------------------------------------------------------

    def _first_cells(self) -> list[str]:
        for row, line in self._records():
            return [cell.strip() for cell in self._cells(line, row)]
        raise self._fault("no rows", expected="at least one")

    def _records(self) -> Iterator[tuple[int, str]]:
        """Yield (row of its first line, text) of each record; blank ones are left out."""
        begun, start = "", 0
        for row, line in read_lines(self._path):
            if begun:
                begun += line
                if '"' in line and not self._form.is_open(begun):
                    yield start, begun.rstrip("\r\n")
                    begun = ""
            elif line.count('"') % 2 and self._form.is_open(line):
                begun, start = line, row
            elif not line.isspace():
                yield row, line.rstrip("\r\n")
        if begun:
            yield start, begun

    def _lines(self) -> Iterator[tuple[NDArray[np.int64], list[str]]]:
        """Yield blocks of records, (row numbers, texts), without the header."""
        records = self._records()
        if self._header:
            next(records, None)
        while block := list(islice(records, BLOCK_LINES)):
            yield np.array([row for row, _ in block]), [line for _, line in block]

    # -- cells -------------------------------------------------------------------------------

    def _parse_fast(self, lines: list[str]) -> NDArray[np.float64] | None:
        """Return the cells (n, width), or None where they must be looked at one by one."""
        if self._form.decimal == ",":
            if any("." in line for line in lines):
                return None
            lines = [line.replace(",", ".") for line in lines]
        delimiter = None if self._form.delimiter == " " else self._form.delimiter
        try:
            cells: NDArray[np.float64] = np.loadtxt(
                lines, np.float64, comments=None, delimiter=delimiter, ndmin=2, quotechar='"'
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

    def _cells(self, line: str, row: int) -> list[str]:
        try:
            return self._form.cells(line)
        except csv.Error as fault:
            raise self._fault(f"no CSV line: {fault}", row=row) from None

    def _read(self, cell: str, row: int, at: int) -> float:
        number = self._form.number(cell)
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


class CsvWriter:
    """Writes rows as CSV with a header: x0, x1, ... and y0, ... or ``label``."""

    def __init__(self, path: Path, names: tuple[str, ...] = ()) -> None:
        raw: Any = gzip.GzipFile(path, "wb", mtime=0) if path.suffix == ".gz" else path.open("wb")
        self._file = io.TextIOWrapper(raw, encoding="utf-8", newline="")
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
