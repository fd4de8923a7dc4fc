"""TensorBoard's event files of a daemon's agents, under the tags that Stable-Baselines3 has.

DIR/<agent>/ holds an agent's files, DIR/<agent>/2/ and so on those of its later lives: where steps
begin again, it was reset. An agent whose folder is empty gets all points that are known of it. The
files grow as slowly as points do (`ProgressLog`): by 512 events each time an agent's age doubles.
"""

from collections.abc import Sequence
from pathlib import Path

from agentd.errors import StorageError
from agentd.runs.tensorboard import EventWriter
from agentd.store.progress import EpisodeSummary, ProgressPoint

TAGS = {
    "return_mean": "rollout/ep_rew_mean",
    "length_mean": "rollout/ep_len_mean",
    "success_rate": "rollout/success_rate",
    "epsilon": "rollout/exploration_rate",
    "loss": "train/loss",
    "q_mean": "train/q_mean",
    "lr": "train/learning_rate",
    "policy_lag": "train/policy_lag",
    "updates_per_row": "train/updates_per_row",
    "held_out_gap": "train/held_out_gap",
    "steps_per_second": "time/fps",
}
"""The tag of each figure of a point."""


class EventFolder:
    """Writes the points of agents into event files below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lives: dict[str, _Life] = {}

    def write(self, agent: str, points: Sequence[ProgressPoint]) -> None:
        """Write what is new in an agent's points, the newest last. Raises StorageError."""
        life = self._lives.get(agent)
        if life is None:
            life = self._lives[agent] = _Life.open(self._root / agent)
            fresh = points if life.is_new else points[-1:]
        elif points[-1].steps < life.steps:
            life = self._lives[agent] = _Life(self._root / agent, life.number + 1)
            fresh = points
        else:
            fresh = [point for point in points if point.time > life.written]
        for point in fresh:
            life.add(point)


class _Life:
    """One agent from its first step, or from a reset, on; a file is begun by its first event.

    steps, written  those of the newest event, and its time in seconds since 1970
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.number, self.steps, self.written = number, 0, 0.0
        self._folder = folder if number == 1 else folder / str(number)
        self._now = 0.0
        self._writer: EventWriter | None = None

    @classmethod
    def open(cls, folder: Path) -> "_Life":
        """The newest life that has a folder; the first where there is none."""
        numbers = [int(path.name) for path in folder.glob("[1-9]*") if path.name.isdecimal()]
        return cls(folder, max(numbers, default=1))

    @property
    def is_new(self) -> bool:
        """Whether nothing was written of it."""
        return not any(self._folder.glob("events.out.tfevents.*"))

    def add(self, point: ProgressPoint) -> None:
        """Append a point. Raises StorageError."""
        self._now = point.time
        if self._writer is None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(f"{self._folder}: {error.strerror or error}") from error
            self._writer = EventWriter(self._folder, clock=lambda: self._now)
        self._writer.add(point.steps, scalars_of(point))
        self.steps, self.written = point.steps, point.time


def scalars_of(point: ProgressPoint) -> dict[str, float]:
    """A point's numbers by their tags."""
    found = {
        "time/total_timesteps": float(point.steps),
        "time/episodes": float(point.episodes),
        "train/n_updates": float(point.updates),
    }
    known = ((tag, point.figures.get(name)) for name, tag in TAGS.items())
    found |= {tag: value for tag, value in known if value is not None}
    if point.eval is not None:
        found |= _evaluation(point.eval)
    return found | {f"game/{name}": value for name, value in point.log.items()}


def _evaluation(episodes: EpisodeSummary) -> dict[str, float]:
    found = {"eval/mean_reward": episodes.mean, "eval/mean_ep_length": episodes.length}
    if episodes.success_rate is not None:
        found["eval/success_rate"] = episodes.success_rate
    return found
