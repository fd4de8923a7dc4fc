"""``agentd data info|convert|verify``: look at data sets, convert and check them."""

import gzip
import hashlib
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from agentd.cli.screen.options import JsonScreen, Screen
from agentd.engine.data import DataError, DataOptions, Dataset, load_data, parts_of, write_data
from agentd.errors import StorageError, UsageError

Source = Annotated[Path, typer.Argument(help="A folder of IDX files, or .csv, .npz, .npy, .pb.")]
Part = Annotated[str, typer.Option(help="train or test, where the data has both.")]


@dataclass(frozen=True)
class DataFlags:
    """How a data set is read."""

    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="The label's column of a table: name, or position from 0."),
    ] = None
    delimiter: Annotated[str | None, typer.Option(help="Between cells of a CSV file.")] = None
    target: Annotated[str, typer.Option("--target", help="auto, class or value.")] = "auto"

    def load(self, source: Path, part: str, classes: int | None = None) -> Dataset:
        """Read one part of ``source``. Raises UsageError, DataError."""
        if part not in ("train", "test"):
            raise UsageError(f"--part {part}: want train or test")
        if self.target not in ("auto", "class", "value"):
            raise UsageError(f"--target {self.target}: want auto, class or value")
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise UsageError(f"--delimiter {self.delimiter!r}: want one character")
        labels = None if self.label is None else tuple(map(column, self.label))
        options = DataOptions(labels=labels, delimiter=self.delimiter, target=self.target)  # type: ignore[arg-type]
        return load_data(source, part, options, classes=classes)


def info(
    out: JsonScreen,
    source: Source,
    *,
    part: Part = "train",
    reading: DataFlags,
) -> None:
    """Tell what a data set holds: rows, shapes, targets, ranges."""
    record = describe(reading.load(source, part))
    width = max(map(len, record))
    text = "\n".join(f"{key:<{width}}  {_show(value)}" for key, value in record.items())
    out.report(record, text)


def convert(
    out: Screen,
    source: Source,
    to: Annotated[Path, typer.Argument(help="What to write: .csv, .npz, .npy, .pb or a folder.")],
    *,
    part: Part = "train",
    reading: DataFlags,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a data set in another format; the file appears whole or not at all."""
    if to.exists() and not (force and to.is_file()):
        raise UsageError(f"{to} exists", hint="choose another name or add --force")
    data = reading.load(source, part)
    aside = to.with_name(f".new-{os.getpid()}-{to.name}")
    try:
        write_data(data, aside)
        aside.replace(to)
    except OSError as error:
        raise StorageError(f"{to}: {error.strerror or error}") from None
    finally:
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink(missing_ok=True)
    out.note(f"wrote {to}: {len(data):,} rows")


def verify(
    out: JsonScreen,
    source: Source,
    reading: DataFlags,
    classes: Annotated[int | None, typer.Option(min=1, help="Labels must be below this.")] = None,
) -> None:
    """Read every row and check it; and the files against a SHA256SUMS beside them."""
    record: dict[str, Any] = {"source": str(source), "checksums": check_sums(source)}
    lines = [f"{record['checksums']} checksums agree"] if record["checksums"] else []
    for part in parts_of(source) or ("train",):
        data = reading.load(source, part, classes)
        record[part] = len(data)
        lines.append(f"{part}: {len(data):,} rows are sound")
    out.report(record, "\n".join(lines))


def column(text: str) -> str | int:
    """A column as a flag names it: its name, or its position from 0 (negative: from the end)."""
    return int(text) if text.removeprefix("-").isdecimal() else text


def describe(data: Dataset) -> dict[str, Any]:
    """What `data info` tells of a Dataset."""
    inputs, targets = data.rows()
    record: dict[str, Any] = {
        "source": data.file,
        "format": data.format,
        "rows": len(data),
        "input": " x ".join(map(str, data.shape)),
        "type": str(inputs.dtype),
        "smallest": float(inputs.min()),
        "largest": float(inputs.max()),
        "mean": round(float(inputs.mean(dtype=np.float64)), 6),
    }
    if data.classes:
        names = data.names or tuple(str(i) for i in range(data.classes))
        counts = np.bincount(targets, minlength=data.classes).tolist()
        record["classes"] = dict(zip(names, counts, strict=True))
    else:
        record["targets"] = int(targets.shape[1])
        record["target range"] = [float(targets.min()), float(targets.max())]
    return record


def check_sums(source: Path) -> int:
    """Compare files with the SHA256SUMS beside them; return how many agree. Raises DataError.

    A sum of a name that is there only gzipped is that of the unpacked bytes.
    """
    sums = (source if source.is_dir() else source.parent) / "SHA256SUMS"
    if not sums.is_file():
        return 0
    agree = 0
    for row, line in enumerate(sums.read_text(errors="replace").splitlines(), 1):
        want, _, name = line.partition(" ")
        file = sums.parent / name.strip().removeprefix("*")
        ours = source.is_dir() or source.name.removesuffix(".gz") == file.name.removesuffix(".gz")
        if not name.strip() or not ours:
            continue
        packed = file.with_name(file.name + ".gz")
        if not file.is_file() and not packed.is_file():
            raise DataError("missing", file=str(file), expected=f"a file, named in {sums.name}")
        try:
            with file.open("rb") if file.is_file() else gzip.open(packed) as opened:
                got = hashlib.file_digest(opened, "sha256").hexdigest()
        except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
            raise DataError(f"damaged gzip: {fault}", file=str(packed)) from None
        if got != want:
            raise DataError(
                "another checksum", file=str(sums), row=row, expected=want[:16], got=got[:16]
            )
        agree += 1
    return agree


def _show(value: Any) -> str:
    if isinstance(value, dict):
        parts = [f"{key}: {count:,}" for key, count in list(value.items())[:20]]
        return f"{len(value)} ({', '.join(parts)}{', ...' if len(value) > 20 else ''})"
    if isinstance(value, list):
        return " to ".join(f"{each:g}" for each in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
