"""From a path to its reader, and from rows to a file of any format."""

import re
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agentd.engine.data.arrays import NpyReader, NpzReader, npz_bytes
from agentd.engine.data.csvfile import CsvReader, CsvWriter
from agentd.engine.data.dataset import Columns, Dataset, Reader, Target, collect, collect_inputs
from agentd.engine.data.errors import DataError
from agentd.engine.data.idx import IdxReader, write_idx
from agentd.engine.data.storage import StorageReader, StorageWriter

_IMAGES = re.compile(r"(?P<part>[\w-]+?)-images[-.]idx\d-ubyte(\.gz)?\Z")
_TEST = ("t10k", "test")
FORMATS = ("idx", "csv", "npz", "npy", "pb")


class DataOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a file is read: columns of tables, and what the targets are."""

    labels: tuple[str | int, ...] | None = None  # columns: names, or positions; null: find out
    inputs: tuple[str | int, ...] | None = None  # all other columns unless given
    header: bool | None = None  # whether the first line holds names; null: find out
    delimiter: str | None = None  # between cells; null: find out
    target: Target = "auto"  # class, value, or what the labels look like

    def __post_init__(self) -> None:
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ValueError("`delimiter` must be one character")


def open_data(
    path: Path,
    part: str = "train",
    options: DataOptions | None = None,
    *,
    like: Columns | None = None,
    inputs: int | None = None,
) -> Reader:
    """Return the reader of a folder of IDX files, or of a .csv, .npz, .npy or .pb file.

    ``part`` chooses between train and test where one place holds both. ``like`` are the columns
    of a table that this one is read like. ``inputs`` asks for rows of so many numbers, labelled or
    not. Raises DataError for what the file holds, FileNotFoundError and OSError for what the file
    system says.
    """
    options = options or DataOptions()
    if path.is_dir():
        return _open_folder(path, part, labelled=inputs is None)
    if not path.exists():
        raise FileNotFoundError(2, "no such data", str(path))
    kind = _kind(path)
    if kind == "csv":
        return CsvReader(
            path,
            labels=options.labels if inputs is None else (),
            inputs=None if like else options.inputs,
            header=options.header,
            delimiter=options.delimiter,
            target=options.target,
            like=like,
        )
    if kind == "npz":
        return NpzReader(path, part)
    if kind == "npy":
        labels: tuple[str | int, ...] = (-1,) if options.labels is None else options.labels
        return NpyReader(path, labels, inputs)
    if kind == "pb":
        return StorageReader(path)
    return IdxReader(path, _labels_of(path))


def load_data(
    path: Path,
    part: str = "train",
    options: DataOptions | None = None,
    *,
    classes: int | None = None,
    names: tuple[str, ...] = (),
    like: Columns | None = None,
) -> Dataset:
    """Read a whole data set into memory: `open_data`, then `collect`."""
    reader = open_data(path, part, options, like=like)
    target = options.target if options else "auto"
    return collect(reader, target, classes=classes, names=names)


def load_inputs(
    path: Path,
    inputs: int,
    part: str = "test",
    options: DataOptions | None = None,
    *,
    like: Columns | None = None,
) -> NDArray[Any]:
    """Read rows (N, ``inputs``) that need no labels; labels that are there are left out.

    Raises DataError, also where a row has another number of inputs.
    """
    reader = open_data(path, part, options, like=like, inputs=inputs)
    if prod(reader.shape) != inputs:
        raise DataError(
            "inputs of another size than the model's",
            file=reader.file,
            expected=inputs,
            got=prod(reader.shape),
        )
    return collect_inputs(reader)


def parts_of(path: Path) -> tuple[str, ...]:
    """Return which of train and test a folder of IDX files holds; ("train",) for any file."""
    if not path.is_dir():
        return ("train",)
    names = [found["part"] for each in path.iterdir() if (found := _IMAGES.match(each.name))]
    parts = {"test" if name in _TEST else "train" for name in names}
    return tuple(sorted(parts, reverse=True))


def write_data(data: Dataset, path: Path) -> None:
    """Write rows in the format that the name asks for; IDX for a name without a suffix."""
    kind = _kind(path) if path.suffix else "idx"
    inputs, targets = data.rows()
    if kind == "csv":
        _write_rows(CsvWriter(path, data.names), inputs, targets)
    elif kind == "pb":
        _write_rows(StorageWriter(path, data.classes), inputs, targets)
    elif kind == "npz":
        arrays = {"x": inputs.reshape(len(inputs), *data.shape), "y": targets}
        path.write_bytes(npz_bytes(arrays))
    elif kind == "npy":
        table = np.column_stack([inputs, targets]).astype(np.float32)
        np.save(path, table, allow_pickle=False)
    else:
        _write_folder(path, data, inputs, targets)


def _write_rows(
    writer: CsvWriter | StorageWriter, inputs: NDArray[Any], targets: NDArray[Any]
) -> None:
    try:
        writer.write(inputs, targets)
    finally:
        writer.close()


def _write_folder(path: Path, data: Dataset, inputs: NDArray[Any], targets: NDArray[Any]) -> None:
    if not data.classes or data.classes > 256:
        raise DataError(
            "IDX labels are bytes", file=str(path), expected="at most 256 classes", got="other"
        )
    path.mkdir()
    images = inputs.reshape(len(inputs), *data.shape)
    write_idx(path / f"train-images-idx{images.ndim}-ubyte.gz", images)
    write_idx(path / "train-labels-idx1-ubyte.gz", targets.astype(np.uint8))


def _kind(path: Path) -> str:
    name = path.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix.removeprefix(".")
    kinds = {"csv": "csv", "tsv": "csv", "npz": "npz", "npy": "npy", "pb": "pb", "proto": "pb"}
    if kinds.get(suffix) == "csv" or (suffix in kinds and not name.endswith(".gz")):
        return kinds[suffix]
    if "idx" in name:
        return "idx"
    if suffix in ("data", "txt", "tab", "dat"):
        return "csv"
    raise DataError(
        "no known format",
        file=str(path),
        expected="a folder of IDX files, or .csv, .npz, .npy, .pb",
        got=path.suffix or "no suffix",
    )


def _open_folder(path: Path, part: str, *, labelled: bool = True) -> IdxReader:
    wanted = _TEST if part == "test" else ("train",)
    found = {m["part"]: each for each in path.iterdir() if (m := _IMAGES.match(each.name))}
    name = next((name for name in wanted if name in found), None)
    if name is None:
        raise DataError(
            "no IDX files",
            file=str(path),
            expected=f"{wanted[0]}-images-idx3-ubyte, gzipped or not, and its labels",
            got=", ".join(sorted(each.name for each in path.iterdir())[:6]) or "an empty folder",
        )
    labels = _labels_of(found[name])
    if labels is None and labelled:
        raise DataError("no labels beside the images", file=str(found[name]))
    return IdxReader(found[name], labels)


def _labels_of(images: Path) -> Path | None:
    """Return the file of labels beside a file of images."""
    name = re.sub(r"-images([-.])idx\d-", r"-labels\1idx1-", images.name.removesuffix(".gz"))
    beside = [images.with_name(name + end) for end in ("", ".gz")]
    return next((each for each in beside if each != images and each.exists()), None)
