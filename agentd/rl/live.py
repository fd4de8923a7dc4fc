"""One live run: a daemon with a fresh agent, and a game in wall-clock time that people watch.

``play_live`` keeps the order: start the daemon, create the agent, play it greedily to know what it
can do, show the game, hold the agent still, play it greedily again, save, end the daemon. While
the game is shown nothing else plays, and it runs in a process of its own: whoever draws it is not
in its way.
"""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agentd.client import Client
from agentd.client.errors import OperationRefused
from agentd.config import AgentConfig, ServerConfig, plain
from agentd.interrupts import Interrupts
from agentd.protocol.errors import Code
from agentd.rl.daemon import Daemon
from agentd.rl.evaluation import GreedyPlayer
from agentd.rl.process import GamePlayer
from agentd.rl.run import derive_seed, known, mean, require_learning
from agentd.rl.scores import Scores
from agentd.rl.tasks import Evaluate, GameSource, Scene, Show, Steer

WAIT_S = 0.05  # for a picture
STATS_S = 0.5  # between looks at the agent
EPISODES = 20  # of an evaluation
EVALUATE_S = 5.0  # after which those that ended count
RETRY_S = 2.0  # a daemon of our own that stays away for longer has failed


@dataclass(frozen=True)
class SolvedMark:
    """A game counts as solved once so many last episodes have this mean return."""

    mean: float
    episodes: int

    def __str__(self) -> str:
        return f"mean return of the last {self.episodes} episodes {self.mean:g} or more"


MARKS = {
    "cartpole": SolvedMark(400.0, 5),
    "catch": SolvedMark(0.9, 40),
    "snake": SolvedMark(8.0, 10),
    "duel-script": SolvedMark(0.5, 10),
}


@dataclass(frozen=True)
class LivePlan:
    """What to show."""

    game: str  # one of ours
    agent: str
    data_dir: Path
    seed: int
    fps: float
    seconds: float | None  # None: until somebody ends it
    device: str | None = None  # None: the configuration's
    idle: int | None = None  # a person's action while no key is pressed; None: the last one
    by_hand: bool = False  # a person plays first, and nothing is evaluated
    config: AgentConfig = field(default_factory=lambda: ServerConfig().agent)  # of a new agent

    @property
    def mark(self) -> SolvedMark | None:
        """When it is solved; None where nothing says so, or a person plays."""
        return None if self.by_hand else MARKS.get(self.game)


@dataclass
class LiveProgress:
    """What a live run has shown so far. NaN for what is not known yet."""

    plan: LivePlan
    elapsed_s: float = 0.0  # of the game
    steps: int = 0
    scene: Scene | None = None
    curve: list[tuple[float, float]] = field(default_factory=list)  # (seconds, return)
    person: list[float] = field(default_factory=list)  # returns of episodes that a person ended
    agent: list[float] = field(default_factory=list)  # and of those that the agent ended
    epsilon: float = float("nan")
    updates: int = 0
    updates_per_row: float = float("nan")
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=10))

    @property
    def best(self) -> float:
        """The best return so far; NaN before the first episode ended."""
        return max((total for _, total in self.curve), default=float("nan"))

    @property
    def mean(self) -> float:
        """Mean return of the last ten episodes; NaN before the first."""
        return mean(self.recent)

    @property
    def solved(self) -> bool:
        """Whether the mark is reached."""
        mark = self.plan.mark
        if mark is None or len(self.curve) < mark.episodes:
            return False
        last = [total for _, total in self.curve[-mark.episodes :]]
        return sum(last) / len(last) >= mark.mean

    def note(self, player: GamePlayer) -> None:
        """Take what the player has reported."""
        self.elapsed_s, self.steps = player.elapsed_s, player.steps
        self.scene = player.scene or self.scene
        for total in player.take_returns():
            self.curve.append((self.elapsed_s, total))
            self.recent.append(total)
            taken = self.scene is not None and self.scene.taken
            (self.person if taken else self.agent).append(total)


@dataclass
class LiveOutcome:
    """What came of a live run."""

    progress: LiveProgress
    before: Scores  # greedy, of the agent that had learned nothing of this run; empty by hand
    after: Scores
    interrupted: bool
    checkpoint: str

    @property
    def record(self) -> dict[str, Any]:
        """The JSON line that ends a live run."""
        now, scene = self.progress, self.progress.scene
        return {
            "game": now.plan.game,
            "seconds": round(now.elapsed_s, 1),
            "steps": now.steps,
            "episodes": len(now.curve),
            "greedy_mean_before": _rounded(self.before.mean),
            "greedy_mean_after": _rounded(self.after.mean),
            "best_return": _rounded(now.best),
            "solved": now.solved if now.plan.mark else None,
            "frames": scene.frames if scene else 0,
            "late_frames": scene.late if scene else 0,
            "frame_p99_ms": round(scene.p99_s * 1e3, 3) if scene else None,
            "frame_longest_ms": round(scene.longest_s * 1e3, 3) if scene else None,
            "person_steps": scene.taken_steps if scene else 0,
            "updates": now.updates,
            "interrupted": self.interrupted,
            "checkpoint": self.checkpoint,
        }


def _rounded(value: float) -> float | None:
    return round(value, 4) if value == value else None


class Audience(Protocol):
    """Who watches a live run, and may play."""

    def update(self, now: LiveProgress) -> None:
        """Take the newest picture, some times a second."""

    def tell(self, line: str) -> None:
        """Take an event, in words."""

    def steers(self) -> Iterable[Steer] | None:
        """What the person has done since the last call; None to end."""


def play_live(plan: LivePlan, audience: Audience) -> LiveOutcome:
    """Show ``plan`` to ``audience``.

    Raises JobFailed when the game or the daemon comes to a bad end, TrainingDiverged, and
    OperationRefused when the server does not take the agent.
    """
    interrupts = Interrupts()
    flags = ["--device", plan.device] if plan.device else []
    with (
        interrupts.trapped(),
        GreedyPlayer(audience.tell) as evaluator,
        Daemon(plan.data_dir, flags=flags) as daemon,
        Client.connect((daemon.host, daemon.port), role="admin", retry_for=RETRY_S) as admin,
    ):
        return _LiveRun(plan, audience, interrupts, evaluator, daemon, admin).play()


@dataclass
class _LiveRun:
    plan: LivePlan
    audience: Audience
    interrupts: Interrupts
    evaluator: GreedyPlayer
    daemon: Daemon
    admin: Client

    def play(self) -> LiveOutcome:
        plan, progress = self.plan, LiveProgress(self.plan)
        self._create()
        before = self._evaluate(0)
        player = GamePlayer(self._task(), self.audience.tell)
        try:
            player.start()
            if plan.by_hand:
                player.send(Steer(taken=True))
            self._watch(player, progress)
        finally:
            player.stop()
            progress.note(player)
        self._look(progress)
        self.admin.freeze(plan.agent, True)
        after = self._evaluate(1)
        self.admin.freeze(plan.agent, False)
        saved = self.admin.save(plan.agent)
        return LiveOutcome(progress, before, after, self.interrupts.seen, saved.checkpoint)

    def _create(self) -> None:
        """Create the agent, with the plan's seed."""
        config = plain(self.plan.config) | {"seed": self.plan.seed}
        try:
            self.admin.create(self.plan.agent, config)
        except OperationRefused as refusal:
            if refusal.code != Code.AGENT_EXISTS:
                raise
            self.audience.tell(f"agent {self.plan.agent} is there already: it goes on learning")

    def _task(self) -> Show:
        return Show(
            host=self.daemon.host,
            port=self.daemon.port,
            agent=self.plan.agent,
            game=GameSource(self.plan.game),
            seed=derive_seed(self.plan.seed, 1),
            fps=self.plan.fps,
            idle=self.plan.idle,
        )

    def _watch(self, player: GamePlayer, progress: LiveProgress) -> None:
        """Follow the player until the time is over, it is solved, or somebody ends it."""
        looked = 0.0
        while not self.interrupts.seen and not progress.solved:
            if self.plan.seconds is not None and progress.elapsed_s >= self.plan.seconds:
                return
            player.poll(WAIT_S)
            progress.note(player)
            now = time.monotonic()
            if now - looked >= STATS_S:
                looked = now
                self.daemon.check()
                self._look(progress)
            self.audience.update(progress)
            if (steers := self.audience.steers()) is None:
                return
            for steer in steers:
                player.send(steer)

    def _look(self, progress: LiveProgress) -> None:
        stats = self.admin.stats().agents.get(self.plan.agent, {})
        require_learning(self.plan.agent, stats)
        progress.epsilon = known(stats, "epsilon")
        progress.updates = int(stats.get("updates") or 0)
        progress.updates_per_row = known(stats, "updates_per_row")

    def _evaluate(self, number: int) -> Scores:
        """Greedy episodes; none of them is learned, and none where a person plays."""
        if self.plan.by_hand or self.interrupts.seen:
            return Scores(())
        task = Evaluate(
            host=self.daemon.host,
            port=self.daemon.port,
            agent=self.plan.agent,
            game=GameSource(self.plan.game),
            episodes=EPISODES,
            seed=derive_seed(self.plan.seed, 2, number),
            within_s=EVALUATE_S,
        )
        return self.evaluator.play(task, self.interrupts, patience_s=3 * EVALUATE_S)
