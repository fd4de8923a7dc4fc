"""One training run, end to end as a user would do it: a daemon, clients over TCP, evaluations.

``run_plan`` keeps the order: start the daemon, create the agent, start the
players, watch, evaluate greedily now and then, stop the players, evaluate, save, end the daemon.
"""

import math
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agentd.client import Client
from agentd.client.errors import OperationRefused
from agentd.config import Preset, plain
from agentd.errors import JobFailed, TrainingDiverged
from agentd.interrupts import Interrupts
from agentd.protocol.errors import Code
from agentd.rl.daemon import Daemon
from agentd.rl.evaluation import RETRY_S, play_greedily
from agentd.rl.games import check_game
from agentd.rl.history import History, Reading
from agentd.rl.player import GamePlayer, Task
from agentd.rl.scores import Scores
from agentd.rl.trace import append_trace

POLL_S = 0.1
SPEED_OVER_S = 2.0
RECENT = 20  # training episodes in the mean return that is shown
EVALUATE_EVERY = 25  # evaluations, at most, in the steps of a run
HOPEFUL = 0.6  # evaluate once the training return is this share of |solved| below solved


@dataclass(frozen=True)
class TrainingPlan:
    """What to run: a preset with its changes, for which agent, where."""

    preset: Preset
    agent: str
    data_dir: Path
    seed: int
    stop_when_solved: bool = True
    device: str | None = None  # None: the configuration's


@dataclass
class RunOutcome:
    """What came of a run."""

    greedy: Scores  # of a last evaluation that decided nothing, so that it cannot flatter
    env_steps: int
    elapsed_s: float  # of playing, from the first step to the last
    seed: int
    solved: bool | None  # None where the preset does not say what that is
    interrupted: bool
    history: History
    checkpoint: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """The JSON line that ends a run."""
        return {
            **self.greedy.record,
            "greedy_episodes": len(self.greedy.values),
            "env_steps": self.env_steps,
            "env_steps_per_second": round(self.env_steps / max(self.elapsed_s, 1e-9), 1),
            "seed": self.seed,
            "solved": self.solved,
            "interrupted": self.interrupted,
            "checkpoint": self.checkpoint,
        }


class Watcher(Protocol):
    """Who follows a run, to show it or to keep a record."""

    def update(self, history: History) -> None:
        """Take the newest reading, several times a second."""

    def tell(self, line: str) -> None:
        """Take an event, in words."""


def run_plan(plan: TrainingPlan, watcher: Watcher) -> RunOutcome:
    """Train as ``plan`` says, reporting to ``watcher``.

    Raises MissingInput for a game that is not there, JobFailed when a player or the daemon comes
    to a bad end, OperationRefused when the server does not take the configuration.
    """
    for game in (plan.preset.play.game, plan.preset.play.evaluation):
        if game is not None:
            check_game(game)
    history = History(plan.preset.play.steps, plan.preset.play.solved)
    interrupts = Interrupts()
    with (
        interrupts.trapped(),
        Daemon(plan.data_dir, flags=["--device", plan.device] if plan.device else []) as daemon,
        Client.connect((daemon.host, daemon.port), role="admin", retry_for=RETRY_S) as admin,
    ):
        outcome = _TrainingRun(plan, daemon, admin, watcher, history, interrupts).play()
    folder = plan.data_dir / "agents" / plan.agent
    append_trace(folder, history.curve, history.greedy, outcome.greedy, outcome.env_steps)
    return outcome


@dataclass
class _TrainingRun:
    plan: TrainingPlan
    daemon: Daemon
    admin: Client
    watcher: Watcher
    history: History
    interrupts: Interrupts
    players: list[GamePlayer] = field(default_factory=list)
    returns: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=256))
    greedy: Scores | None = None  # of the last evaluation
    evaluations: int = 0
    evaluated_at: int = 0

    def play(self) -> RunOutcome:
        plan, play = self.plan, self.plan.preset.play
        self._create()
        self.players = [GamePlayer(self._task(index)) for index in range(play.clients)]
        with ThreadPoolExecutor(1) as evaluator:
            try:
                for player in self.players:
                    player.start()
                solved = self._watch(evaluator)
            finally:
                for player in self.players:
                    player.stop()
        saved = self.admin.save(plan.agent)
        final = self._evaluate(play.episodes)
        return RunOutcome(
            greedy=final,
            env_steps=self._steps,
            elapsed_s=max(player.elapsed_s for player in self.players),
            seed=self.admin.info(plan.agent)["config"]["seed"],  # the one in force
            solved=None if play.solved is None else solved or final.mean >= play.solved,
            interrupted=self.interrupts.seen,
            history=self.history,
            checkpoint=saved.checkpoint,
        )

    # -- before ----------------------------------------------------------------------------------

    def _create(self) -> None:
        config = plain(self.plan.preset.agent) | {"seed": self.plan.seed}
        try:
            self.admin.create(self.plan.agent, config)
        except OperationRefused as refusal:
            if refusal.code != Code.AGENT_EXISTS:
                raise
            self.watcher.tell(f"agent {self.plan.agent} is there already: it goes on learning")
            self.admin.freeze(self.plan.agent, False)  # the run before may have ended solved

    def _task(self, index: int) -> Task:
        play = self.plan.preset.play
        share = play.steps // play.clients + (index < play.steps % play.clients)
        return Task(
            host=self.daemon.host,
            port=self.daemon.port,
            agent=self.plan.agent,
            game=play.game,
            streams=play.streams,
            steps=share,
            seed=derive_seed(self.plan.seed, 1, index),
        )

    # -- while -----------------------------------------------------------------------------------

    def _watch(self, evaluator: ThreadPoolExecutor) -> bool:
        """Follow the players to their end; True when a confirmed evaluation said solved."""
        began = time.monotonic()
        evaluation: Future[bool] | None = None
        while not self.interrupts.seen:
            self.daemon.check()
            playing = [player.poll() for player in self.players]
            for player in self.players:
                self.returns.extend(player.take_returns())
            self._read(time.monotonic() - began)
            self.watcher.update(self.history)
            if evaluation is not None and evaluation.done():
                if evaluation.result():
                    return True
                evaluation = None
            if not any(playing):
                return evaluation.result() if evaluation is not None else False
            if evaluation is None and self._hopeful():
                self.evaluated_at = self._steps
                evaluation = evaluator.submit(self._solved)
            time.sleep(POLL_S)
        return False

    @property
    def _steps(self) -> int:
        return sum(player.steps for player in self.players)

    def _read(self, elapsed_s: float) -> None:
        reply = self.admin.stats()
        stats = reply.agents.get(self.plan.agent, {})
        require_learning(self.plan.agent, stats)
        steps = self._steps
        self.marks.append((elapsed_s, steps))
        while len(self.marks) > 2 and elapsed_s - self.marks[0][0] > SPEED_OVER_S:
            self.marks.popleft()
        (then, before), (now, after) = self.marks[0], self.marks[-1]
        self.history.add(
            Reading(
                elapsed_s=elapsed_s,
                env_steps=steps,
                episodes=sum(player.episodes for player in self.players),
                return_mean=mean(self.returns),
                greedy_mean=self.greedy.mean if self.greedy else math.nan,
                loss=known(stats, "loss"),
                q_mean=known(stats, "q_mean"),
                epsilon=known(stats, "epsilon"),
                updates=int(stats.get("updates") or 0),
                version=int(stats.get("version") or 0),
                steps_per_s=(after - before) / (now - then) if now > then else 0.0,
                p50_s=known(stats, "act_p50_ms") / 1e3,
                p99_s=known(stats, "act_p99_ms") / 1e3,
                clients=int(stats.get("connections") or 0),
            )
        )

    # -- evaluating ------------------------------------------------------------------------------

    def _hopeful(self) -> bool:
        """Whether an evaluation is due and the training return says that it is worth its time."""
        play = self.plan.preset.play
        if play.solved is None or not self.plan.stop_when_solved or not self.returns:
            return False
        due = self._steps - self.evaluated_at >= play.steps / EVALUATE_EVERY
        if play.evaluation is not None:  # then the training return says nothing about it
            return due
        return due and mean(self.returns) >= play.solved - HOPEFUL * abs(play.solved)

    def _solved(self) -> bool:
        """Evaluate; when that says solved, hold the weights still and make sure on new episodes."""
        play = self.plan.preset.play
        assert play.solved is not None
        first = self._evaluate(play.episodes)
        if first.mean < play.solved:
            return False
        address = (self.daemon.host, self.daemon.port)
        with Client.connect(address, role="admin", retry_for=RETRY_S) as admin:
            admin.freeze(self.plan.agent, True)
            second = self._evaluate(play.episodes)
            if second.mean >= play.solved:
                return True
            admin.freeze(self.plan.agent, False)
        return False

    def _evaluate(self, episodes: int) -> Scores:
        """Play ``episodes`` greedily, on seeds that no other evaluation of the run has."""
        self.evaluations += 1
        seed = derive_seed(self.plan.seed, 2, self.evaluations)
        address = (self.daemon.host, self.daemon.port)
        steps = self._steps
        play = self.plan.preset.play
        game = play.evaluation or play.game
        found = play_greedily(address, self.plan.agent, game, episodes, seed)
        self.greedy = found
        self.history.note_greedy(steps, found.mean)
        self.watcher.tell(f"greedy {found} at {steps:,} steps")
        return found


def require_learning(agent: str, stats: dict[str, Any]) -> None:
    """Raise TrainingDiverged or JobFailed when the agent will not learn any more by itself."""
    if stats.get("diverged"):
        raise TrainingDiverged(
            f"agent {agent} is {stats['state']}: {stats['state_reason']}",
            hint="see `When learning has paused` in the guide",
        )
    if stats.get("learner_state") == "failed":
        raise JobFailed(f"agent {agent} does not learn: {stats['learner_failure']}")


def derive_seed(*parts: int) -> int:
    """A seed from a path of numbers: different paths give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def mean(values: deque[float]) -> float:
    """The mean of ``values``; NaN of none."""
    return sum(values) / len(values) if values else math.nan


def known(stats: dict[str, Any], key: str) -> float:
    """A number of the statistics; NaN where the server does not know it (yet)."""
    value = stats.get(key)
    return float(value) if isinstance(value, int | float) else math.nan
