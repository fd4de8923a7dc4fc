"""Seeds of ``rl train`` as tasks: each runs the command itself on a node, and the agent comes home.

A seed is a process of its own there, in a folder of its own, so that signals are its own and a
crash hurts nobody. A seed whose node dies begins again: so it ends as it would have ended.
"""

import contextlib
import ctypes
import io
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agentd.children import child_environment, python_module
from agentd.cluster.ordered import map_ordered
from agentd.cluster.session import Cluster
from agentd.errors import ExitCode, JobFailed, StorageError
from agentd.rl.scores import Scores
from agentd.rl.trace import read_trace

POLL_S = 0.5
"""How often a seed's task looks whether it is cancelled."""
LOOK_S = 2.0
"""How long the newest lines of the seeds are waited for."""
_SILENT = "waits for a node"


@dataclass(frozen=True)
class SeedTask:
    """One seed: its agent, and ``agentd rl train`` with everything but seed, agent and folder.

    ``before`` is the agent's folder as a tar, where there is one: it goes on learning.
    """

    seed: int
    agent: str
    arguments: tuple[str, ...]
    before: bytes | None = None
    lines: Any = None  # the actor that takes what the command says


@dataclass(frozen=True)
class SeedResult:
    """What came of a seed: the command's record and the agent's folder as a tar."""

    record: dict[str, Any]
    folder: bytes
    node: str


@dataclass(frozen=True)
class SeedOutcome:
    """A seed that came home, as a summary of seeds wants it."""

    record: dict[str, Any]
    greedy: Scores

    @property
    def seed(self) -> int:
        """The seed in force."""
        return int(self.record["seed"])


class Lines:
    """The newest line of each seed, kept in an actor."""

    def __init__(self) -> None:
        self._lines: dict[int, str] = {}

    def tell(self, seed: int, line: str) -> None:
        """Take a line of a seed's command."""
        self._lines[seed] = line

    def read(self) -> dict[int, str]:
        """Return the newest line of each seed that has said something."""
        return dict(self._lines)


def run_seeds(
    cluster: Cluster,
    tasks: Sequence[SeedTask],
    data_dir: Path,
    *,
    cpus: int,
    show: Callable[[dict[int, str]], None],
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[SeedOutcome]:
    """Yield the seeds as they end; their agents are in ``data_dir`` by then.

    cpus     CPUs of a seed: its games, its daemon and learner. Where no node has so many, a node
             with all its CPUs runs one seed at a time
    show     is called about once a second with a line for each seed
    stopped  True ends it: what runs is cancelled, what has ended stands

    Raises what the command of a seed ends with, under its exit code.
    """
    pinned = cluster.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    here = pinned(cluster.ray.get_runtime_context().get_node_id(), soft=False)
    lines = cluster.ray.remote(Lines).options(num_cpus=0, scheduling_strategy=here).remote()
    most = int(max((node.cpus for node in cluster.nodes()), default=1))
    last = {task.seed: _SILENT for task in tasks}

    def look() -> None:
        if stopped():
            raise _Stopped
        with contextlib.suppress(cluster.ray.exceptions.RayError):  # lines are not worth a run
            last.update(cluster.ray.get(lines.read.remote(), timeout=LOOK_S))
        show(last)

    named = [replace(_with_folder(task, data_dir), lines=lines) for task in tasks]
    found = map_ordered(
        cluster,
        run_seed,
        named,
        cpus=min(cpus, most),
        ahead=len(tasks),
        in_order=False,
        meanwhile=look,
    )
    with contextlib.suppress(_Stopped), contextlib.closing(found):
        for task, result in found:
            outcome = bring_home(task, result, data_dir)
            lines.tell.remote(task.seed, f"ended on {result.node}")
            yield outcome


class _Stopped(Exception):
    """The person asked for the end."""


def _with_folder(task: SeedTask, data_dir: Path) -> SeedTask:
    folder = data_dir / "agents" / task.agent
    return replace(task, before=pack_folder(folder)) if folder.is_dir() else task


def run_seed(task: SeedTask) -> SeedResult:
    """Run the command of a seed on this node. Raises JobFailed with the command's exit code."""
    with tempfile.TemporaryDirectory(prefix="agentd-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if task.before is not None:
            unpack_folder(task.before, folder / "agents" / task.agent)
        command = python_module("agentd", "rl", "train", *task.arguments)
        command += ["--seed", str(task.seed), "--agent", task.agent, "--data-dir", name, "--json"]
        node = os.uname().nodename
        say = (lambda line: None) if task.lines is None else _teller(task, node)
        record = json.loads(run_command(command, say).splitlines()[-1])
        return SeedResult(record, pack_folder(folder / "agents" / task.agent), node)


def _teller(task: SeedTask, node: str) -> Callable[[str], None]:
    return lambda line: task.lines.tell.remote(task.seed, f"{node}: {line}")


def run_command(command: list[str], say: Callable[[str], None]) -> str:
    """Run ``command`` and return its stdout; ``say`` takes each line of its stderr.

    The command dies with this process, and when the task is cancelled. Raises JobFailed, with the
    command's exit code and its last line, where that is not 0.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )
    lines: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    readers = [
        threading.Thread(target=_forward, args=(name, stream, lines), daemon=True)
        for name, stream in (("out", process.stdout), ("err", process.stderr))
    ]
    said, results, open_streams = "no word", list[str](), len(readers)
    try:
        for reader in readers:
            reader.start()
        while open_streams:
            with contextlib.suppress(queue.Empty):
                name, line = lines.get(timeout=POLL_S)
                if not line:
                    open_streams -= 1
                elif name == "out":
                    results.append(line)
                elif line.strip():
                    said = line.strip()
                    say(said)
        code = process.wait()
    finally:
        process.kill()
        process.wait()
    if code != 0:
        failed = JobFailed(f"node {os.uname().nodename}: {said.removeprefix('agentd: ')}")
        known = {int(value) for value in ExitCode} - {ExitCode.OK}
        failed.exit_code = ExitCode(code) if code in known else ExitCode.FAILED
        raise failed
    return "".join(results)


def _forward(name: str, stream: Any, lines: "queue.SimpleQueue[tuple[str, str]]") -> None:
    with stream:
        for line in stream:
            lines.put((name, line))
    lines.put((name, ""))


def _die_with_parent() -> None:
    """Let Linux kill this process once the one that started it is gone (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def bring_home(task: SeedTask, result: SeedResult, data_dir: Path) -> SeedOutcome:
    """Put a seed's agent into ``data_dir``, whole or not at all."""
    folder = data_dir / "agents" / task.agent
    unpack_folder(result.folder, folder)
    return SeedOutcome(result.record, read_trace(folder).final)


def pack_folder(folder: Path) -> bytes:
    """Return the files of ``folder`` as a tar whose names begin below it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(folder, ".", filter=_plain)
    return packed.getvalue()


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what is no file and no folder: sockets, links."""
    return info if info.isfile() or info.isdir() else None


def unpack_folder(packed: bytes, folder: Path) -> None:
    """Make what ``pack_folder`` packed the content of ``folder``; what was there goes.

    Raises StorageError; what was there stands then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.parent / f".new-{folder.name}"
    old = folder.parent / f".old-{folder.name}"
    try:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(new, filter="data")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, tarfile.TarError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise StorageError(f"{folder}: {error}") from error


def outcomes_in_order(seeds: Iterable[int], found: Iterable[SeedOutcome]) -> list[SeedOutcome]:
    """Return the outcomes in the order in which the seeds were asked for."""
    by_seed = {outcome.seed: outcome for outcome in found}
    return [by_seed[seed] for seed in seeds if seed in by_seed]
