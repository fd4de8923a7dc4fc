"""One training run, end to end as a user would do it: a daemon, clients over TCP, evaluations.

``run_plan`` keeps the order: look at the game, start the daemon, create the agent, start the
players, watch, evaluate greedily now and then, stop the players, save, evaluate, end the daemon.
Games run in processes of their own, so that none can stop or spoil what is said here.
"""

import math
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agentd.client import Client
from agentd.client.errors import OperationRefused
from agentd.config import Preset, ServerConfig, plain
from agentd.errors import JobFailed, TrainingDiverged
from agentd.interrupts import Interrupts
from agentd.protocol.errors import Code
from agentd.rl.daemon import Daemon
from agentd.rl.evaluation import GreedyPlayer
from agentd.rl.games import LONGEST, check_game
from agentd.rl.history import History, Reading
from agentd.rl.process import GamePlayer
from agentd.rl.scores import Scores
from agentd.rl.tasks import Evaluate, GameSource, Looks, Play
from agentd.rl.trace import append_trace

POLL_S = 0.1
SPEED_OVER_S = 2.0
RECENT = 20  # training episodes in the mean return that is shown
EVALUATE_EVERY = 25  # evaluations, at most, in the steps of a run
WATCHED = 20  # episodes, at most, of an evaluation that only shows how it goes
LAST_S = 5.0  # of the evaluation that ends an interrupted run
SILENT_S = 30.0  # a player that makes no step for so long is told
RETRY_S = 2.0  # a daemon of our own that stays away for longer has failed
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
    arguments: dict[str, Any] = field(default_factory=dict)  # of a Gymnasium environment
    max_episode_steps: int | None = None  # of a Gymnasium environment; None: its own limit
    tensorboard: Path | None = None  # folder for the daemon's event files; None: none

    @property
    def flags(self) -> list[str]:
        """What the daemon is started with."""
        device = ["--device", self.device] if self.device else []
        events = ["--tensorboard", str(self.tensorboard)] if self.tensorboard else []
        return device + events

    @property
    def game(self) -> GameSource:
        """What the players play."""
        return GameSource(self.preset.play.game, self.arguments, self.max_episode_steps)

    @property
    def evaluation(self) -> GameSource:
        """What evaluations play."""
        other = self.preset.play.evaluation
        return self.game if other is None else GameSource(other)


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
    play = plan.preset.play
    for game in (plan.game, plan.evaluation):
        check_game(game)
    history = History(play.steps, play.solved, measured=play.evaluation is not None)
    interrupts = Interrupts()
    with interrupts.trapped(), GreedyPlayer(watcher.tell) as evaluator:
        looks = evaluator.look(plan.game, interrupts)
        watcher.tell(_understood(plan, looks))
        with (
            Daemon(plan.data_dir, flags=plan.flags) as daemon,
            Client.connect((daemon.host, daemon.port), role="admin", retry_for=RETRY_S) as admin,
        ):
            run = _TrainingRun(plan, daemon, admin, watcher, history, interrupts, evaluator)
            outcome = run.play()
    folder = plan.data_dir / "agents" / plan.agent
    append_trace(folder, history.training, history.greedy, outcome.greedy, outcome.env_steps)
    return outcome


def _understood(plan: TrainingPlan, looks: Looks) -> str:
    """What a run has taken its game for, in one line."""
    play = plan.preset.play
    if looks.time_limit is None:
        limit = f"evaluations cut episodes off at {LONGEST:,} steps (--max-episode-steps)"
    else:
        limit = ""
    players = f"{play.streams} streams on {play.clients} client{'s' if play.clients > 1 else ''}"
    device = plan.device or ServerConfig().device
    parts = (f"{plan.game}: {looks}", limit, players, f"device {device}")
    return "; ".join(part for part in parts if part)


@dataclass
class _TrainingRun:
    plan: TrainingPlan
    daemon: Daemon
    admin: Client
    watcher: Watcher
    history: History
    interrupts: Interrupts
    evaluator: GreedyPlayer
    players: list[GamePlayer] = field(default_factory=list)
    returns: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=256))
    greedy: Scores | None = None  # of the last evaluation
    evaluations: int = 0
    evaluated_at: int = 0
    confirming: bool = False  # the evaluation under way decides whether it is solved
    silent: bool = False  # it was told that a player makes no step

    def play(self) -> RunOutcome:
        plan, play = self.plan, self.plan.preset.play
        self._create()
        tell = self.watcher.tell
        self.players = [GamePlayer(self._task(index), tell) for index in range(play.clients)]
        try:
            for player in self.players:
                player.start()
            solved = self._watch()
        finally:
            for player in self.players:
                player.stop()
        saved = self.admin.save(plan.agent)
        final = self._evaluate_last()
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

    def _task(self, index: int) -> Play:
        play = self.plan.preset.play
        share = play.steps // play.clients + (index < play.steps % play.clients)
        return Play(
            host=self.daemon.host,
            port=self.daemon.port,
            agent=self.plan.agent,
            game=self.plan.game,
            streams=play.streams,
            steps=share,
            seed=derive_seed(self.plan.seed, 1, index),
        )

    # -- while -----------------------------------------------------------------------------------

    def _watch(self) -> bool:
        """Follow the players to their end; True when a confirmed evaluation said solved."""
        began = time.monotonic()
        while not self.interrupts.seen:
            self.daemon.check()
            playing = [player.poll() for player in self.players]
            for player in self.players:
                self.returns.extend(player.take_returns())
            self._read(time.monotonic() - began)
            self.watcher.update(self.history)
            if self.evaluator.asked is not None:
                if (found := self.evaluator.poll()) is not None and self._judge(found):
                    return True
            elif not any(playing):
                return False
            elif episodes := self._due():
                self._begin(episodes)
            self._tell_silence()
            time.sleep(POLL_S)
        return False

    def _tell_silence(self) -> None:
        """Say once that a player makes no step, for nothing else would show."""
        waits = [player.silent_s for player in self.players if not player.done]
        if not self.silent and max(waits, default=0.0) > SILENT_S:
            self.silent = True
            self.watcher.tell(f"a player has made no step for {SILENT_S:.0f} s: {self.plan.game}")

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
                **live_figures(stats),
            )
        )

    # -- evaluating ------------------------------------------------------------------------------

    def _due(self) -> int:
        """Episodes of the evaluation that is due now; 0 for none.

        Where the training return says how well it plays, only one that could end the run is.
        """
        play = self.plan.preset.play
        if self._steps - self.evaluated_at < play.steps / EVALUATE_EVERY:
            return 0
        decides = play.solved is not None and self.plan.stop_when_solved
        if play.evaluation is not None:
            return play.episodes if decides else min(play.episodes, WATCHED)
        if not decides or not self.returns:
            return 0
        assert play.solved is not None
        hopeful = mean(self.returns) >= play.solved - HOPEFUL * abs(play.solved)
        return play.episodes if hopeful else 0

    def _judge(self, found: Scores) -> bool:
        """Take an evaluation; True where a second one, with the weights held still, says solved."""
        self._note(found)
        solved = self.plan.preset.play.solved
        if solved is None or not self.plan.stop_when_solved:
            return False
        above = found.mean >= solved
        if self.confirming:
            if above:
                return True
            self.confirming = False
            self.admin.freeze(self.plan.agent, False)
        elif above:
            self.confirming = True
            self.admin.freeze(self.plan.agent, True)
            self._begin(self.plan.preset.play.episodes)
        return False

    def _begin(self, episodes: int) -> None:
        self.evaluated_at = self._steps
        self.evaluator.begin(self._evaluation(episodes))

    def _evaluate_last(self) -> Scores:
        """Evaluate once more, which decides nothing; in short where a person wants it to end."""
        episodes = self.plan.preset.play.episodes
        if self.interrupts.seen:
            self.evaluator.stop()  # what it was at is not wanted any more
            found = self.evaluator.play(self._evaluation(episodes, LAST_S), patience_s=1.5 * LAST_S)
        else:
            found = self.evaluator.play(self._evaluation(episodes), self.interrupts)
        if len(found.values) < episodes:
            self.watcher.tell(f"interrupted: {len(found.values)} of {episodes} episodes ended")
        self._note(found)
        return found

    def _evaluation(self, episodes: int, within_s: float | None = None) -> Evaluate:
        """Greedy episodes on seeds that no other evaluation of the run has."""
        self.evaluations += 1
        return Evaluate(
            host=self.daemon.host,
            port=self.daemon.port,
            agent=self.plan.agent,
            game=self.plan.evaluation,
            episodes=episodes,
            seed=derive_seed(self.plan.seed, 2, self.evaluations),
            within_s=within_s,
        )

    def _note(self, found: Scores) -> None:
        if found.values:
            self.greedy = found
            self.history.note_greedy(self._steps, found.mean)
            self.watcher.tell(f"greedy {found} at {self._steps:,} steps")


def require_learning(agent: str, stats: dict[str, Any]) -> None:
    """Raise TrainingDiverged or JobFailed when the agent will not learn any more by itself."""
    if stats.get("diverged"):
        raise TrainingDiverged(
            f"agent {agent} is {stats['state']}: {stats['state_reason']}",
            hint="see `When learning has paused` in the guide",
        )
    if stats.get("learner_state") == "failed":
        raise JobFailed(f"agent {agent} does not learn: {stats['learner_failure']}")


def live_figures(stats: dict[str, Any]) -> dict[str, Any]:
    """What a `Reading` says of a live learner."""
    return {
        "updates_per_row": known(stats, "updates_per_row"),
        "rows_per_s": known(stats, "rows_per_second"),
        "possible_updates_per_s": known(stats, "possible_updates_per_second"),
        "updates_owed": known(stats, "updates_owed"),
        "held_out_gap": known(stats, "held_out_gap"),
        "too_slow": stats["state_reason"] if stats.get("state") == "learning" else "",
    }


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
