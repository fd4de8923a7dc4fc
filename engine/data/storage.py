"""nevermind-neu's data sets: one protobuf message that holds all rows.

    message PbDataBatch   { repeated float input = 1; repeated float expected = 2; }
    message PbDataStorage { repeated PbDataBatch data = 1; }

Floats may be packed or not; files are written packed. ``expected`` is what the network should
give: one number an output, a single 1 among zeros for a class.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Shape
from agentd.engine.data import wire
from agentd.engine.data.dataset import Block, Columns
from agentd.engine.data.errors import DataError

_DATA, _INPUT, _EXPECTED = 1, 1, 2
BLOCK_NUMBERS = 1 << 20


class StorageReader:
    """A .pb file of rows; every row has as many numbers as the first."""

    format = "pb"
    label = None
    columns: Columns | None = None
    description = ""
    count: int | None = None
    mapped: NDArray[Any] | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self.file = str(path)
        first = next(self._rows(), None)
        if first is None:
            raise DataError("no rows", file=self.file, expected="at least one")
        self._widths = (len(first[0]), len(first[1]))
        if not self._widths[0]:
            raise DataError("no inputs", file=self.file, row=1, expected="at least one number")
        self.shape: Shape = (self._widths[0],)

    def blocks(self) -> Iterator[Block]:
        rows, done = self._rows(), 0
        step = max(1, BLOCK_NUMBERS // sum(self._widths))
        while pairs := list(islice(rows, step)):
            for i, pair in enumerate(pairs):
                self._check(done + i + 1, *pair)
            x = np.stack([pair[0] for pair in pairs])
            y = np.stack([pair[1] for pair in pairs]) if self._widths[1] else None
            yield Block(x, y, range(done + 1, done + 1 + len(pairs)))
            done += len(pairs)

    def _rows(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        for row, record in enumerate(wire.records(self._path, _DATA), 1):
            try:
                found = wire.floats(record, (_INPUT, _EXPECTED))
            except wire.WireError as fault:
                raise DataError(f"damaged record: {fault}", file=self.file, row=row) from None
            yield found[_INPUT], found[_EXPECTED]

    def _check(self, row: int, *numbers: NDArray[np.float32]) -> None:
        for name, found, width in zip(("input", "expected"), numbers, self._widths, strict=True):
            if len(found) != width:
                raise DataError(
                    "another size than the first row",
                    file=self.file,
                    row=row,
                    column=name,
                    expected=f"{width} numbers",
                    got=len(found),
                )
            if not np.isfinite(found).all():
                raise DataError(
                    "not finite",
                    file=self.file,
                    row=row,
                    column=name,
                    expected="a number",
                    got=found[~np.isfinite(found)][0],
                )


class StorageWriter:
    """Writes rows as a .pb file; classes become rows with a single 1."""

    def __init__(self, path: Path, classes: int) -> None:
        self._file = path.open("wb")
        self._classes = classes

    def write(self, inputs: NDArray[Any], targets: NDArray[Any]) -> None:
        """Append rows: inputs (n, D), targets (n,) classes or (n, K) numbers."""
        if targets.ndim == 1:
            targets = np.eye(self._classes, dtype=np.float32)[targets]
        for x, y in zip(inputs, targets, strict=True):
            record = wire.put_floats(_INPUT, x) + wire.put_floats(_EXPECTED, y)
            self._file.write(wire.put_bytes(_DATA, record))

    def close(self) -> None:
        self._file.close()
