"""How an agent did over time: its episodes, its learner's figures, what its games logged; on disk.

``agents/<name>/metrics/progress.jsonl`` holds a header and then one point a line, oldest first:

    {"kind": "agentd progress", "format": 1, "spacing_s": 4.0}
    {"time": …, "steps": …, "episodes": …, "updates": …, "train": {…}, "eval": {…},
     "figures": {"epsilon": …}, "log": {"lap_s": …}}

A point tells of what happened since the one before (`ProgressPoint`, `EpisodeSummary`); there is
none of a time in which nothing did. Points are at least ``spacing_s`` apart. Once there are MOST,
neighbours are joined in pairs and ``spacing_s`` doubles, so that the file stays below 4 MB however
long an agent lives, mostly far below. A line that was cut off or damaged is left out. The folder
goes with its agent: one that is reset or made of another begins a file of its own.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from agentd.errors import StorageError
from agentd.store.files import Files, write_file

PROGRESS = Path("metrics") / "progress.jsonl"
MOST = 1024
"""Points of one agent."""
SAMPLE = 32
"""Returns that a point keeps of its episodes."""
MOST_LOGGED = 32
"""Names of the game's log in one point."""
_KIND, _FORMAT = "agentd progress", 1


class EpisodeSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the episodes that ended in a point's time were like.

    ended    how many
    mean     of their returns; ``std`` their standard deviation, ``low`` and ``high`` the extremes
    length   mean, in rows
    judged   of how many the game said whether they were won, and ``won`` of how many it said so
    sample   at most SAMPLE of the returns, drawn at random
    """

    ended: int
    mean: float
    std: float
    low: float
    high: float
    length: float
    judged: int = 0
    won: int = 0
    sample: tuple[float, ...] = ()

    @property
    def success_rate(self) -> float | None:
        """The share of won ones among those whose game said so; None of none."""
        return self.won / self.judged if self.judged else None

    def join(self, other: EpisodeSummary) -> EpisodeSummary:
        """The summary of both."""
        ended = self.ended + other.ended
        share = other.ended / ended
        mean = self.mean + share * (other.mean - self.mean)
        spread = (1 - share) * (self.std**2 + (self.mean - mean) ** 2)
        spread += share * (other.std**2 + (other.mean - mean) ** 2)
        return EpisodeSummary(
            ended=ended,
            mean=mean,
            std=math.sqrt(spread),
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            length=self.length + share * (other.length - self.length),
            judged=self.judged + other.judged,
            won=self.won + other.won,
            sample=_join_samples(self, other, share),
        )


class ProgressPoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent did since the point before.

    time      seconds since 1970, at its end
    steps     environment steps in all; ``episodes`` that ended in all, ``updates`` made in all
    train     the training episodes that ended in it, ``eval`` those of evaluation; None of none
    figures   the learner's numbers at its end, by the names that `stats` has for them
    log       the game's own numbers at its end, by their names
    """

    time: float
    steps: int
    episodes: int = 0
    updates: int = 0
    train: EpisodeSummary | None = None
    eval: EpisodeSummary | None = None
    figures: dict[str, float] = {}
    log: dict[str, float] = {}

    def join(self, later: ProgressPoint) -> ProgressPoint:
        """One point in place of this and the next."""
        return ProgressPoint(
            time=later.time,
            steps=later.steps,
            episodes=later.episodes,
            updates=later.updates,
            train=_join(self.train, later.train),
            eval=_join(self.eval, later.eval),
            figures=self.figures | later.figures,
            log=bounded_log(self.log | later.log),
        )


class ProgressLog:
    """The points of one agent, in memory and on disk; one process writes.

    points     oldest first, at most MOST; replaced by each `add`, so that they may be read any time
    spacing_s  the least time between two of them, seconds
    """

    def __init__(self, agent: Path, spacing_s: float = 1.0, files: Files | None = None) -> None:
        self.path = agent / PROGRESS
        self.points: Sequence[ProgressPoint] = ()
        self.spacing_s = spacing_s
        self._files = files
        self._lock = threading.Lock()  # one writes, even when who waited for it has given up
        self._is_written = False  # the file holds all points and nothing else

    @classmethod
    def open(cls, agent: Path, files: Files | None = None) -> ProgressLog:
        """What is known of the agent in the folder ``agent``. Raises StorageError."""
        log = cls(agent, files=files)
        try:
            lines = log.path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return log
        except OSError as error:
            raise StorageError(f"{log.path}: {error.strerror or error}") from error
        read = [_read(line) for line in lines[1:]]
        log.points = [point for point in read if point is not None][-MOST:]
        known = _spacing(lines[0]) if lines else None
        log.spacing_s = known or log.spacing_s
        log._is_written = known is not None and len(log.points) == len(lines) - 1
        return log

    def is_due(self, now: float) -> bool:
        """Whether a point that ends at ``now``, seconds since 1970, is far enough from the last.

        A clock that was set back is no reason to wait.
        """
        last = self.points[-1].time if self.points else -math.inf
        return not last <= now < last + self.spacing_s

    def add(self, point: ProgressPoint) -> None:
        """Append a point. Raises StorageError: it is then in memory, and written with the next."""
        with self._lock:
            self._add(point)

    def _add(self, point: ProgressPoint) -> None:
        points = list(self.points)
        if len(points) >= MOST:
            pairs = zip(points[::2], points[1::2], strict=True)
            points = [first.join(second) for first, second in pairs]
            self.spacing_s *= 2
            self._is_written = False
        points.append(point)
        self.points = points
        if self._is_written:
            self._append(point)
        else:
            self._write_whole()

    def _append(self, point: ProgressPoint) -> None:
        self._is_written = False
        try:
            with self.path.open("r+b") as file:  # the file of an agent that is gone is not remade
                file.seek(0, 2)
                file.write(_line(point))
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror or error}") from error
        self._is_written = True

    def _write_whole(self) -> None:
        if not self.path.parents[1].is_dir():
            raise StorageError(f"{self.path.parents[1]} was removed while in use")
        header = {"kind": _KIND, "format": _FORMAT, "spacing_s": self.spacing_s}
        lines = [msgspec.json.encode(header) + b"\n", *map(_line, self.points)]
        write_file(self.path, b"".join(lines), self._files)
        self._is_written = True


def read_progress(agent: Path) -> Sequence[ProgressPoint]:
    """The points of the agent in the folder ``agent``; none where none are. Raises StorageError."""
    return ProgressLog.open(agent).points


def bounded_log(values: Mapping[str, float]) -> dict[str, float]:
    """The first MOST_LOGGED names of a game's log."""
    return dict(list(values.items())[:MOST_LOGGED])


def _join(first: EpisodeSummary | None, second: EpisodeSummary | None) -> EpisodeSummary | None:
    if first is None or second is None:
        return first or second
    return first.join(second)


def _join_samples(first: EpisodeSummary, second: EpisodeSummary, share: float) -> tuple[float, ...]:
    """Returns of both, as many of the second as its share; all where they fit."""
    if len(first.sample) + len(second.sample) <= SAMPLE:
        return first.sample + second.sample
    of_second = min(len(second.sample), max(round(SAMPLE * share), SAMPLE - len(first.sample)))
    of_first = min(len(first.sample), SAMPLE - of_second)
    return _spread(first.sample, of_first) + _spread(second.sample, of_second)


def _spread(values: tuple[float, ...], wanted: int) -> tuple[float, ...]:
    """``wanted`` of the values, evenly chosen."""
    return tuple(values[at * len(values) // wanted] for at in range(wanted))


def _line(point: ProgressPoint) -> bytes:
    return msgspec.json.encode(point) + b"\n"


def _read(line: bytes) -> ProgressPoint | None:
    """The point in a line; None in one that was cut off or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        return msgspec.json.decode(line, type=ProgressPoint)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _spacing(line: bytes) -> float | None:
    """The spacing that a header tells; None where it is no header of ours."""
    try:
        header = msgspec.json.decode(line)
        good = header["kind"] == _KIND and header["format"] == _FORMAT
        return float(header["spacing_s"]) if good else None
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, ValueError):
        return None
