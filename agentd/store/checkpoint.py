"""Durable checkpoints: written aside, synced, renamed, checked; the newest whole one is loaded.

    checkpoints/<serial>-<step>[-kept]/manifest.json        what, when, checksums of the others
                                       weights.safetensors  parameters by name
                                       state.safetensors    optimizer, target and the like

``serial`` grows with every checkpoint of the agent, so after going back to an old one the order is
still that of writing; ``step`` counts updates. ``kept`` ones were asked for by a person.
"""

import contextlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from agentd.errors import AgentdError, ExitCode, StorageError, TrainingDiverged
from agentd.store import manifest
from agentd.store.files import Files, reach
from agentd.store.manifest import Damaged

log = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]

_NAME = re.compile(r"(?P<serial>\d{6,})-(?P<step>\d{12,})(?P<kept>-kept)?\Z")
_MANIFEST, _WEIGHTS, _STATE = "manifest.json", "weights.safetensors", "state.safetensors"
_ASIDE = ".new-"
_LARGEST_MANIFEST = 16 << 20


class NoValidCheckpoint(AgentdError):
    """There are checkpoints, and every one of them is damaged."""

    exit_code = ExitCode.MISSING


class UnknownCheckpoint(AgentdError):
    """The checkpoint that was named does not exist or is damaged."""

    exit_code = ExitCode.MISSING


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read and found whole.

    facts: the manifest; weights, state: arrays by name; skipped: newer ones that are damaged, as
    (name, reason).
    """

    name: str
    step: int
    facts: dict[str, Any]
    weights: dict[str, NDArray[Any]]
    state: dict[str, NDArray[Any]]
    skipped: tuple[tuple[str, str], ...] = ()


def list_checkpoints(folder: Path, files: Files | None = None) -> list[str]:
    """Return the names of all checkpoints, newest first; they may be damaged."""
    files = files or Files()
    try:
        found = [match for name in files.names(folder) if (match := _NAME.match(name))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from error
    found.sort(key=lambda match: int(match["serial"]), reverse=True)
    return [match.string for match in found]


def describe_checkpoints(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """What is told of checkpoints that ``list_checkpoints`` named, those left out that are gone.

    ``step`` counts updates; ``kept`` ones were asked for; ``time`` is in seconds since 1970.
    """
    found = []
    for match in filter(None, map(_NAME.match, names)):
        with contextlib.suppress(OSError):
            written = (folder / match.string).stat().st_mtime
            facts = {"step": int(match["step"]), "kept": match["kept"] is not None}
            found.append({"name": match.string, **facts, "time": written})
    return found


def write_checkpoint(
    folder: Path,
    step: int,
    facts: Mapping[str, Any],
    weights: Arrays,
    state: Arrays,
    *,
    keep: int,
    kept: bool = False,
    files: Files | None = None,
) -> str:
    """Write a checkpoint into ``folder``; return its name once it is on the disk.

    ``facts`` are JSON values that go into the manifest. Afterwards the oldest are deleted: of
    those that were asked for (``kept``) and of the others the newest ``keep`` stay. Raises
    StorageError, and TrainingDiverged where a number is not finite; older checkpoints are then as
    they were.
    """
    files = files or Files()
    _refuse_not_finite({**weights, **state}, folder)
    try:
        files.ensure_dir(folder)
        names = list_checkpoints(folder, files)
        serial = 1 + max((int(name.partition("-")[0]) for name in names), default=0)
        name = f"{serial:06d}-{step:012d}" + ("-kept" if kept else "")
        contents = _contents(weights, state, {"checkpoint": name, "step": step})
        entries = {file: manifest.file_entry(data) for file, data in contents.items()}
        own = {"format": manifest.FORMAT, "name": name, "step": step, "files": entries}
        contents[_MANIFEST] = manifest.encode({**facts, **own})
        _place(folder, name, contents, files)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror or error}") from error
    try:
        _prune(folder, [name, *names], keep, files)
    except OSError as error:
        log.warning("checkpoint prune folder=%s error=%r", folder, str(error))
    return name


def read_checkpoint(
    folder: Path, name: str | None = None, files: Files | None = None
) -> Checkpoint | None:
    """Read the named checkpoint, or the newest whole one; None when there is none at all.

    Damaged ones are passed over, each with a line in the log. Raises NoValidCheckpoint when all
    are damaged, UnknownCheckpoint when the named one is missing or damaged, StorageError when the
    folder cannot be read.
    """
    files = files or Files()
    names = list_checkpoints(folder, files)
    if name is not None:
        if name not in names:
            raise UnknownCheckpoint(f"no checkpoint {name!r}", hint=_hint(names))
        try:
            return _read(folder / name, files)
        except Damaged as error:
            others = [each for each in names if each != name]
            said = f"checkpoint {name!r} is damaged: {error}"
            raise UnknownCheckpoint(said, hint=_hint(others)) from None
    skipped = []
    for each in names:
        try:
            found = _read(folder / each, files)
        except Damaged as error:
            log.error("checkpoint damaged name=%s reason=%r folder=%s", each, str(error), folder)
            skipped.append((each, str(error)))
        else:
            return replace(found, skipped=tuple(skipped))
    if skipped:
        raise NoValidCheckpoint(
            f"{folder}: none of {len(skipped)} checkpoints is whole; "
            f"the newest, {skipped[0][0]}: {skipped[0][1]}",
            hint="restore one from a backup, or move the folder away to begin anew",
        )
    return None


def checkpoint_files(folder: Path, name: str, files: Files | None = None) -> dict[str, bytes]:
    """Return the files of a whole checkpoint by name. Raises UnknownCheckpoint, StorageError."""
    files = files or Files()
    read_checkpoint(folder, name, files)
    try:
        return {each: (folder / name / each).read_bytes() for each in files.names(folder / name)}
    except OSError as error:
        raise StorageError(f"{folder / name}: {error.strerror}") from error


def keep_checkpoint(
    folder: Path, name: str, contents: Mapping[str, bytes], keep: int, files: Files | None = None
) -> None:
    """Make ``contents``, of ``checkpoint_files`` elsewhere, a checkpoint here, and prune as usual.

    Raises UnknownCheckpoint where they are no whole checkpoint of that name, StorageError.
    """
    files, wanted = files or Files(), {_MANIFEST, _WEIGHTS, _STATE}
    if not _NAME.match(name) or contents.keys() != wanted:
        raise UnknownCheckpoint(f"checkpoint {name[:80]!r}: want {', '.join(sorted(wanted))}")
    try:
        files.ensure_dir(folder)
        try:
            read_checkpoint(folder, name, files)
        except UnknownCheckpoint:
            if files.is_dir(folder / name):  # damaged, and here it comes whole
                files.remove_tree(folder / name)
            _place(folder, name, contents, files)
        read_checkpoint(folder, name, files)
        names = list_checkpoints(folder, files)
        _prune(folder, names, keep, files)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror or error}") from error


def sweep(folder: Path, files: Files | None = None) -> None:
    """Delete what interrupted writes and deletions left. Only for the folder's one writer."""
    files = files or Files()
    with contextlib.suppress(OSError):
        for name in files.names(folder):
            if name.startswith(_ASIDE):
                files.remove_tree(folder / name)


def _refuse_not_finite(arrays: Arrays, folder: Path) -> None:
    """Raise TrainingDiverged that names the first array with NaN or Inf in it."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(np.count_nonzero(~np.isfinite(array)))
            raise TrainingDiverged(
                f"no checkpoint in {folder}: {bad} of {array.size} numbers of `{name}` not finite"
            )


def _contents(weights: Arrays, state: Arrays, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the two files; each says in its metadata, under one key, which checkpoint's it is."""
    about = {"agentd": json.dumps({"format": manifest.FORMAT, **facts}, sort_keys=True)}
    return {
        file: safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, about)
        for file, arrays in ((_WEIGHTS, weights), (_STATE, state))
    }


def _place(folder: Path, name: str, contents: Mapping[str, bytes], files: Files) -> None:
    """Write the files aside, sync them, and give the whole its name."""
    aside = folder / f"{_ASIDE}{name}"
    if files.is_dir(aside):
        files.remove_tree(aside)
    try:
        files.make_dir(aside)
        for file, data in contents.items():
            files.write_whole(aside / file, data)
            reach(f"checkpoint.wrote.{file}")
        files.sync_dir(aside)
        reach("checkpoint.synced")
        files.rename(aside, folder / name)
        reach("checkpoint.renamed")
    except OSError:
        with contextlib.suppress(OSError):
            files.remove_tree(aside)
        raise
    files.sync_dir(folder)
    reach("checkpoint.durable")


def _prune(folder: Path, names: list[str], keep: int, files: Files) -> None:
    """Delete all but the newest ``keep`` of each kind; ``names`` are newest first."""
    for kept in (True, False):
        for name in [name for name in names if name.endswith("-kept") == kept][keep:]:
            aside = folder / f"{_ASIDE}old-{name}"
            files.rename(folder / name, aside)  # never half a checkpoint under its own name
            reach("checkpoint.pruning")
            files.remove_tree(aside)


def _read(path: Path, files: Files) -> Checkpoint:
    """Read one checkpoint and check all of it. Raises Damaged."""
    try:
        if not files.is_dir(path):
            raise Damaged("no directory")
        names = set(files.names(path))
        if not all(files.is_plain(path / name) for name in names):
            raise Damaged("holds something that is not a plain file")
        if _MANIFEST not in names:
            raise Damaged("manifest.json is missing")
        facts = manifest.decode(files.read(path / _MANIFEST, _LARGEST_MANIFEST))
        sizes = _check_facts(path.name, facts, names)
        data = {name: files.read(path / name, size) for name, size in sizes.items()}
    except OSError as error:
        raise Damaged(str(error)) from error
    for name, content in data.items():
        if facts["files"][name] != manifest.file_entry(content):
            raise Damaged(f"{name} has another checksum or size")
    try:
        weights, state = (safetensors.numpy.load(data[name]) for name in (_WEIGHTS, _STATE))
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise Damaged(f"unreadable tensors: {error}") from error
    return Checkpoint(path.name, facts["step"], facts, weights, state)


def _check_facts(name: str, facts: Mapping[str, Any], found: set[str]) -> dict[str, int]:
    """Return the sizes that the files must have. Raises Damaged."""
    if facts.get("name") != name or type(facts.get("step")) is not int:
        raise Damaged(f"the manifest is that of {facts.get('name')!r}")
    wanted = {_MANIFEST, _WEIGHTS, _STATE}
    if found != wanted:
        odd = ", ".join(sorted(found ^ wanted))
        raise Damaged(f"files are missing or too many: {odd}")
    try:
        return {file: int(facts["files"][file]["size"]) for file in (_WEIGHTS, _STATE)}
    except (KeyError, TypeError, ValueError):
        raise Damaged("the manifest does not say what the files are") from None


def _hint(names: list[str]) -> str:
    return f"there are {', '.join(names[:5])}" if names else "none was written yet"
