"""Data sets: what a file holds, block by block, and the whole of it in memory.

Shapes: N rows, n rows of a block, D numbers of one input, K numbers of one target.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Shape
from agentd.engine.data.errors import DataError, show

Target: TypeAlias = Literal["auto", "class", "value"]
MAX_CLASSES = 1000
"""Whole numbers below this may be classes when nobody says what they are."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a file, in the file's order and types.

    inputs   (n, D) numbers
    targets  (n,) class numbers or texts, (n, K) numbers, or None where the file has none
    rows     (n,) the number of each row in the file, for messages
    """

    inputs: NDArray[Any]
    targets: NDArray[Any] | None
    rows: Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table were read, so that another one can be read like it.

    inputs, labels: positions from 0; width: cells of a row; names: of all columns, where there is
    a header in which no two are the same.
    """

    inputs: tuple[int, ...]
    labels: tuple[int, ...]
    width: int
    names: tuple[str, ...] = ()

    def is_named_in(self, cells: Sequence[str], *, labelled: bool) -> bool:
        """Whether ``cells`` hold the names of all inputs, and of the labels where they count."""
        wanted = self.inputs + (self.labels if labelled else ())
        return bool(self.names) and {self.names[i] for i in wanted} <= set(cells)


class Reader(Protocol):
    """A file of data that gives its rows block by block, so that it need not fit into memory.

    ``format`` names the kind of file, ``file`` the path for messages, ``shape`` one input's shape,
    ``count`` the rows where the file says so without being read.
    """

    format: str
    file: str
    shape: Shape
    count: int | None

    @property
    def label(self) -> str | int | None:
        """The column of a class label, for messages."""

    @property
    def columns(self) -> Columns | None:
        """Which columns of a table are read; None for what is no table."""

    @property
    def description(self) -> str:
        """How the file is read, for a person; "" where there was nothing to find out."""

    @property
    def mapped(self) -> NDArray[Any] | None:
        """The inputs (N, D) as a view of the file itself, where it lies on disk as they are."""

    def blocks(self) -> Iterator[Block]:
        """Yield all rows from the first; may be called again. Raises DataError."""


@dataclass(frozen=True)
class Dataset:
    """Rows in any order, with what is known about their targets.

    inputs   (N, D) numbers, in the file's own type where that is smaller than float32; for files
             that can be mapped (IDX that is not gzipped, npy) a view of the file: rows are then
             read as they are needed, and data may be larger than memory
    targets  (N,) int32 classes, or (N, K) float32 numbers
    shape    of one input as the file has it; its product is D
    classes  how many there are; 0 where the targets are numbers
    names    of the classes, if the file names them
    columns  of the table that the data was read from; description: how it was read
    index    the rows that count, in this order; None for all
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]
    shape: Shape
    classes: int = 0
    names: tuple[str, ...] = ()
    index: NDArray[np.int64] | None = None
    file: str = ""
    format: str = field(default="", compare=False)
    columns: Columns | None = None
    description: str = ""

    def __post_init__(self) -> None:
        n, d = self.inputs.shape
        if len(self.targets) != n or prod(self.shape) != d:
            raise DataError(
                "inputs and targets differ", file=self.file, expected=n, got=len(self.targets)
            )

    def __len__(self) -> int:
        return len(self.inputs if self.index is None else self.index)

    @property
    def features(self) -> int:
        """D."""
        return int(self.inputs.shape[1])

    @property
    def outputs(self) -> int:
        """How many numbers a network must give: one a class, or K."""
        return self.classes or int(self.targets.shape[1])

    @classmethod
    def from_arrays(cls, inputs: NDArray[Any], targets: NDArray[Any]) -> "Dataset":
        """Return arrays as data: inputs (N, ...); whole-number targets (N,) are classes."""
        inputs, targets = np.asarray(inputs), np.asarray(targets)
        flat = _compact(inputs.reshape(len(inputs), -1))
        if targets.dtype.kind in "iub" and targets.ndim == 1:
            labels = targets.astype(np.int32)
            return cls(
                flat, labels, inputs.shape[1:] or (1,), classes=max(2, int(labels.max()) + 1)
            )
        values = np.ascontiguousarray(targets.reshape(len(targets), -1), np.float32)
        return cls(flat, values, inputs.shape[1:] or (1,))

    def take(self, index: NDArray[np.int64]) -> "Dataset":
        """Return the rows ``index`` of this one; nothing is copied."""
        return replace(self, index=index if self.index is None else self.index[index])

    def labels(self) -> NDArray[np.int32]:
        """Return the class of each row in use, (N,). Only where there are classes."""
        return self.targets if self.index is None else self.targets[self.index]

    def rows(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return inputs and targets of the rows in use, copied where only some are."""
        if self.index is None:
            return self.inputs, self.targets
        return self.inputs[self.index], self.targets[self.index]


def collect(
    reader: Reader,
    target: Target = "auto",
    *,
    classes: int | None = None,
    names: tuple[str, ...] = (),
) -> Dataset:
    """Read and check all of ``reader`` and settle what its targets are.

    "auto" takes whole numbers from 0 as classes, numbers as values, and rows with a single 1 among
    zeros as classes. ``classes`` bounds the labels, ``names`` maps texts to them. Raises DataError.
    """
    mapped = reader.mapped
    inputs: list[NDArray[Any]] = [] if mapped is None else [mapped]
    targets: list[NDArray[Any]] = []
    for block in reader.blocks():
        if block.targets is None:
            raise DataError("no targets", file=reader.file, expected="inputs with labels")
        known = _name_classes(reader, block, names) if names else block.targets
        if target == "class" or (classes is not None and target != "value"):
            _check_labels(reader, block, known, classes)
        if mapped is None:
            inputs.append(_compact(block.inputs))
        targets.append(known)
    if not targets:
        raise DataError("no rows", file=reader.file, expected="at least one")
    found, count, given = _settle(reader, np.concatenate(targets), target)
    return Dataset(
        np.concatenate(inputs) if len(inputs) > 1 else inputs[0],
        found,
        reader.shape,
        classes=max(count, classes or 0, len(names)) if count else 0,
        names=names or given,
        file=reader.file,
        format=reader.format,
        columns=reader.columns,
        description=reader.description,
    )


def collect_inputs(reader: Reader) -> NDArray[Any]:
    """Return all inputs (N, D) of ``reader``, whatever its targets are. Raises DataError."""
    found = [_compact(block.inputs) for block in reader.blocks()]
    if not found:
        raise DataError("no rows", file=reader.file, expected="at least one")
    return np.concatenate(found)


def _name_classes(reader: Reader, block: Block, names: tuple[str, ...]) -> NDArray[Any]:
    """Return the block's text labels as numbers; numbers stay as they are."""
    assert block.targets is not None
    if block.targets.dtype.kind not in "US":
        return block.targets
    known = {name: i for i, name in enumerate(names)}
    found = np.array([known.get(text, -1) for text in block.targets.tolist()], np.int32)
    if len(bad := np.flatnonzero(found < 0)):
        raise DataError(
            "no such class",
            file=reader.file,
            row=int(block.rows[bad[0]]),
            column=reader.label,
            expected=f"one of {', '.join(names[:10])}",
            got=show(str(block.targets[bad[0]])),
        )
    return found


def _check_labels(reader: Reader, block: Block, found: NDArray[Any], classes: int | None) -> None:
    """Refuse labels that are no class numbers. Rows of several numbers are looked at later."""
    if found.dtype.kind in "US":
        return
    if found.ndim == 2:
        if found.shape[1] != 1:
            return
        found = found[:, 0]
    high = MAX_CLASSES * MAX_CLASSES if classes is None else classes
    bad = np.flatnonzero((found < 0) | (found >= high) | (found != np.floor(found)))
    if len(bad):
        bound = "a whole number from 0" if classes is None else f"a class from 0 to {classes - 1}"
        raise DataError(
            "label out of range",
            file=reader.file,
            row=int(block.rows[bad[0]]),
            column=reader.label,
            expected=bound,
            got=f"{found[bad[0]]:g}",
        )


def _settle(
    reader: Reader, found: NDArray[Any], target: Target
) -> tuple[NDArray[Any], int, tuple[str, ...]]:
    """Return the targets in their final type, the number of classes (0: values) and their names."""
    if found.dtype.kind in "US":
        if target == "value":
            raise DataError("the labels are texts", file=reader.file, expected="numbers")
        names, codes = np.unique(found, return_inverse=True)
        return codes.astype(np.int32).reshape(-1), len(names), tuple(map(str, names))
    flat = found if found.ndim == 1 else found[:, 0] if found.shape[1] == 1 else None
    if target == "value":
        return np.ascontiguousarray(found.reshape(len(found), -1), np.float32), 0, ()
    if flat is not None:
        whole = found.dtype.kind in "iub" or bool((flat == np.floor(flat)).all())
        small = whole and flat.min() >= 0 and flat.max() < min(MAX_CLASSES, max(2, len(flat)))
        if target == "class" or small:
            return flat.astype(np.int32), max(2, int(flat.max()) + 1), ()
    elif _is_one_hot(found):
        return found.argmax(1).astype(np.int32), int(found.shape[1]), ()
    elif target == "class":
        raise DataError(
            "targets are no classes",
            file=reader.file,
            expected="one label a row, or a single 1 among zeros",
            got=f"{found.shape[1]} numbers a row",
        )
    return np.ascontiguousarray(found.reshape(len(found), -1), np.float32), 0, ()


def _is_one_hot(found: NDArray[Any]) -> bool:
    ones = found == 1
    return bool(((found == 0) | ones).all() and (ones.sum(1) == 1).all())


def _compact(inputs: NDArray[Any]) -> NDArray[Any]:
    """Return inputs in a type of at most 4 bytes a number, in C order."""
    kind = inputs.dtype if inputs.dtype in (np.uint8, np.int8, np.float32) else np.dtype(np.float32)
    return np.ascontiguousarray(inputs, kind)
