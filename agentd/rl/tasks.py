"""What a game process is asked to do, and what it reports: JSON, one object a line."""

from typing import Any

import msgspec

from agentd.client.choices import ActionShape


class GameSource(msgspec.Struct, frozen=True):
    """Which game, and how it is made."""

    name: str
    arguments: dict[str, Any] = {}  # of a Gymnasium environment
    max_episode_steps: int | None = None  # of a Gymnasium environment; None: its own limit

    def __str__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"{self.name}({given})" if given else self.name


class Look(msgspec.Struct, frozen=True, tag="look"):
    """Make the game, begin an episode, tell what it looks like."""

    game: GameSource


class Play(msgspec.Struct, frozen=True, tag="play"):
    """Play ``steps`` steps on ``streams`` streams, and learn."""

    host: str
    port: int
    agent: str
    game: GameSource
    streams: int
    steps: int
    seed: int


class Evaluate(msgspec.Struct, frozen=True, tag="evaluate"):
    """Play ``episodes`` episodes greedily; after ``within_s`` seconds those that ended count.

    At a ``level`` below 100 the agent plays weaker, by ``seed``; a game that can be simulated then
    bars the moves that a reply punishes with a loss.
    """

    host: str
    port: int
    agent: str
    game: GameSource
    episodes: int
    seed: int
    within_s: float | None = None
    level: float | None = None


class Show(msgspec.Struct, frozen=True, tag="show"):
    """Play one stream of a game of ours in wall-clock time, to be watched, and learn.

    A person may take it over (``Steer``): ``idle`` is the action while no key is pressed, None the
    last one again.
    """

    host: str
    port: int
    agent: str
    game: GameSource
    seed: int
    fps: float  # frames a second
    idle: int | None = None


Task = Look | Play | Evaluate | Show


class Steer(msgspec.Struct, frozen=True):
    """What a person does to a game that is shown; what is None stays as it is."""

    action: int | None = None  # one action more, in its turn
    taken: bool | None = None  # whether the person plays
    fps: float | None = None  # frames a second from now on


class Looks(msgspec.Struct, frozen=True):
    """What a game looks like."""

    observation: dict[str, tuple[str, tuple[int, ...]]]  # name -> dtype, shape
    actions: int | tuple[int, ...] | dict[str, Any]
    masks: str  # where they were found; "" for none
    time_limit: int | None  # steps of an episode; None where nothing says so

    def __str__(self) -> str:
        parts = [f"{n} {dtype}{list(shape)}" for n, (dtype, shape) in self.observation.items()]
        limit = "none" if self.time_limit is None else f"{self.time_limit:,} steps"
        return (
            f"observation {', '.join(parts)}; actions {ActionShape.of(self.actions)}; "
            f"masks {self.masks or 'none found'}; time limit {limit}"
        )


class Fault(msgspec.Struct, frozen=True):
    """Why a task came to a bad end: in one line, with the exit code that it stands for."""

    message: str
    code: int
    hint: str | None = None
    trace: str = ""


class Scene(msgspec.Struct, frozen=True):
    """A game that is shown: where it stands, and how long its answers took since it began."""

    picture: list[str]  # lines of text
    taken: bool  # whether a person plays
    taken_steps: int  # actions that the person chose
    frames: int
    late: int  # answers that took longer than a frame
    p99_s: float
    longest_s: float


class Report(msgspec.Struct, frozen=True):
    """What was done of a task so far, and the returns of the episodes since the last report."""

    steps: int = 0
    elapsed_s: float = 0.0
    returns: list[float] = []
    cut_off: int = 0  # episodes of an evaluation that a time limit ended
    looks: Looks | None = None
    fault: Fault | None = None
    scene: Scene | None = None
    done: bool = False
