"""The form of a CSV file, found on its first rows: delimiter, decimal comma, header, index column.

A delimiter is what most rows agree on: it cuts them into equally many cells, quotes respected, and
many of the cells are numbers.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Row = Sequence[str]

DELIMITERS = (",", ";", "\t", "|", " ")
LABEL_NAMES = ("label", "labels", "target", "class")
_INDEX_NAMES = ("", "unnamed: 0", "index", "row", "rownames")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*\Z")


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a line is cut into cells, and which sign stands before a number's decimals."""

    delimiter: str
    decimal: str = "."

    def cells(self, text: str) -> list[str]:
        """Return the cells of a record. Raises csv.Error."""
        if self.delimiter == " ":
            text = text.strip(" ")
        return next(_read([text], self.delimiter), [])

    def is_open(self, text: str) -> bool:
        """Whether ``text`` ends inside quotes, so that the record goes on in the next line."""
        try:
            self.cells(text)
        except csv.Error as fault:
            return "unexpected end of data" in str(fault)
        return False

    def number(self, cell: str) -> float | None:
        """Return the number that a cell holds, None for none."""
        if self.decimal == ",":
            cell = "?" if "." in cell else cell.replace(",", ".")
        return number(cell)


def number(cell: str) -> float | None:
    """Return a number written with a decimal point, None for anything else."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def find_form(lines: Sequence[str], delimiter: str | None) -> tuple[CsvForm, list[list[str]]]:
    """Return the form of a file that begins with ``lines``, and the rows that they hold."""
    if delimiter is None:
        delimiter = max(DELIMITERS, key=lambda each: _agreement(_rows(lines, each)))
        if _agreement(_rows(lines, delimiter)) == (0, 0):
            delimiter = ","
    rows = _rows(lines, delimiter)
    comma = delimiter != "," and any(  # between commas "1,234" may as well be a thousand
        number(cell) is None and _DECIMAL_COMMA.match(cell) for row in rows for cell in row
    )
    return CsvForm(delimiter, "," if comma else "."), rows


def has_header(first: Row, rows: Sequence[Row], columns: Sequence[int], form: CsvForm) -> bool:
    """Whether ``first`` names columns: ``columns`` are the inputs', ``rows`` come behind it.

    It does where no cell is a number; where it counts 0, 1, 2 and the next row does not; and where
    most cells are texts above numbers.
    """
    cells = [first[i] for i in columns]
    numbers = [form.number(cell) for cell in cells]
    named = [cell for cell in cells if cell.strip()]
    if named and not any(value is not None for value in numbers):
        return len(named) == len(cells) or (len(named) + 1 == len(cells) and not cells[0].strip())
    counted = [cell for cell in first if cell.strip()]
    if _counts(counted) and int(counted[0]) == 0:
        return bool(rows) and not _counts(rows[0])
    above = 0
    for i in columns:
        below = [form.number(row[i]) for row in rows if i < len(row) and row[i].strip()]
        text = bool(first[i].strip()) and form.number(first[i]) is None
        above += text and bool(below) and None not in below
    return 2 * above > len(cells)


def find_label(names: Sequence[str]) -> int:
    """Return the position of the label column: one that is named so, else the last."""
    found = [i for i, name in enumerate(names) if name.casefold() in LABEL_NAMES]
    return found[0] if len(found) == 1 else len(names) - 1


def counts_rows(rows: Sequence[Row], column: int) -> bool:
    """Whether a column numbers the rows: from 0 or 1, each one more than the one before."""
    cells = [row[column] for row in rows if column < len(row)]
    return _counts(cells) and int(cells[0]) in (0, 1)


def is_index_name(name: str) -> bool:
    """Whether a column of that name is expected to number the rows."""
    plain = name.strip().casefold()
    return plain in _INDEX_NAMES or plain.endswith("id")


def _read(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _rows(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    """Return the rows of the first lines, up to what is no CSV."""
    if delimiter == " ":
        lines = (line.strip(" \r\n") + "\n" for line in lines)
    return list(_until_fault(_read(lines, delimiter)))


def _until_fault(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield row
    except csv.Error:
        return


def _agreement(rows: Sequence[Row]) -> tuple[float, int]:
    """Return how well a delimiter fits, and how many cells it gives."""
    if not rows:
        return 0, 0
    (width, count), *_ = Counter(map(len, rows)).most_common(1)
    if width < 2:
        return 0, 0
    cells = [cell for row in rows if len(row) == width for cell in row]
    numbers = sum(number(cell) is not None or bool(_DECIMAL_COMMA.match(cell)) for cell in cells)
    return count * (0.1 + numbers / len(cells)), width


def _counts(cells: Row) -> bool:
    """Whether cells count on from the first, at least three of them."""
    if len(cells) < 3 or not all(cell.strip().isdecimal() for cell in cells):
        return False
    return [int(cell) - int(cells[0]) for cell in cells] == [*range(len(cells))]
