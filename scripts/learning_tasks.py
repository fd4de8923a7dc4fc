"""What `bench_learning.py` measures: presets, what is asked of them, and what others got."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ZOO = "RL Zoo benchmark.md"


@dataclass(frozen=True)
class Measure:
    """What is asked of a trained agent."""

    goal: float | None = None  # None where the task is only compared
    game: str | None = None  # another game than the preset's evaluation
    wins: bool = False  # the score is the share of episodes with a positive return
    bias: bool = False  # the score is how far the first states' values exceed what follows

    def score(self, returns: list[float]) -> float:
        """One score of ``returns``."""
        if self.wins:
            return sum(value > 0 for value in returns) / len(returns)
        return sum(returns) / len(returns)


@dataclass(frozen=True)
class Task:
    """A preset, what is asked of it, and what others got."""

    preset: str
    measures: tuple[Measure, ...]
    published: str = "–"
    episodes: int = 100
    sb3: dict[str, Any] = field(default_factory=dict)  # the Zoo's settings; empty for none
    reference: str = ""  # a game of MinAtar, for the DQN of its authors
    game: str = ""  # another game than the preset's
    settings: tuple[str, ...] = ()  # KEY=VALUE over the preset's
    without: tuple[str, ...] = ()  # an ablation: KEY=VALUE that take the improvement away
    steps: int = 0  # play exactly so many, solved or not; 0 for the preset's, until it is solved
    cheap: bool = False  # the peer's run takes minutes at most


def _zoo(env: str, steps: int, **settings: Any) -> dict[str, Any]:
    return {"env": env, "steps": steps, **settings}


_ZOO_LONG = {
    "learning_rate": 6.3e-4,
    "batch_size": 128,
    "buffer_size": 50_000,
    "learning_starts": 0,
    "target_update_interval": 250,
    "train_freq": 4,
    "gradient_steps": -1,
    "exploration_fraction": 0.12,
    "exploration_final_eps": 0.1,
}

TASKS = {
    "catch": Task("catch", (Measure(0.99),), "1.0 (bsuite's DQN solves it, arXiv:1908.03568)"),
    # bsuite's diagnostics, measured on the plain game
    "catch-noise": Task("catch", (Measure(0.9, "catch"),), game="catch-noise"),
    "catch-scale": Task(
        *("catch", (Measure(0.9, "catch"),)),
        game="catch-scale",
        settings=("reward.normalize=true",),
    ),
    "cartpole": Task(
        "cartpole",
        (Measure(500),),
        f"500 ± 0 at 50,000 ({ZOO}); 488.7 ± 16 at 500,000 (CleanRL docs)",
        cheap=True,
        sb3=_zoo(
            "CartPole-v1",
            50_000,
            learning_rate=2.3e-3,
            batch_size=64,
            buffer_size=100_000,
            learning_starts=1_000,
            target_update_interval=10,
            train_freq=256,
            gradient_steps=128,
            exploration_fraction=0.16,
            exploration_final_eps=0.04,
        ),
    ),
    # without the velocities: rows and the last action side by side, or a network that remembers
    "cartpole-stack": Task(
        "cartpole",
        (Measure(450),),
        game="cartpole-positions",
        steps=100_000,
        settings=(
            *("dqn.frame_stack=4", "dqn.last_actions=1", "dqn.normalize_observations=true"),
            "optimizer.schedule.steps=25000",
        ),
    ),
    "cartpole-gru": Task("cartpole-gru", (Measure(450),)),
    "memory-chain": Task("memory-chain", (Measure(0.95),), "bsuite, memory length (1908.03568)"),
    "cartpole-pqn": Task("cartpole-pqn", (Measure(475),), "PQN(λ): arXiv:2407.04811"),
    "cartpole-stream": Task("cartpole-stream", (Measure(475),), "Stream Q(λ): arXiv:2410.14606"),
    "acrobot": Task(
        "acrobot",
        (Measure(-80),),
        f"-76.6 ± 12 at 100,000 ({ZOO}); -91.5 ± 7 (CleanRL docs)",
        sb3=_zoo("Acrobot-v1", 100_000, **_ZOO_LONG),
    ),
    "mountaincar": Task(
        "mountaincar",
        (Measure(-110),),
        f"-100.8 ± 10 at 120,000 ({ZOO}); -195 ± 8 (CleanRL docs)",
        cheap=True,
        sb3=_zoo(
            "MountainCar-v0",
            120_000,
            learning_rate=4e-3,
            batch_size=128,
            buffer_size=10_000,
            gamma=0.98,
            learning_starts=1_000,
            target_update_interval=600,
            train_freq=16,
            gradient_steps=8,
            exploration_fraction=0.2,
            exploration_final_eps=0.07,
        ),
    ),
    "lunarlander": Task(
        "lunarlander",
        (Measure(195),),
        f"195 ± 28 at 100,000 (SB3-contrib docs); 154 ± 79 ({ZOO}); both on v2",
        sb3=_zoo("LunarLander-v3", 100_000, **_ZOO_LONG),
    ),
    "pendulum": Task(
        "pendulum",
        (Measure(-200),),
        f"-176 at 20,000 (SAC, {ZOO})",
        steps=20_000,
        cheap=True,
        sb3=_zoo("Pendulum-v1", 20_000, algorithm="SAC", learning_rate=1e-3),
    ),
    "aim": Task(
        "gym",
        (Measure(19),),
        "20 is the most; five bins get 19.6 at best",
        game="aim_env:Aim-v0",
        steps=30_000,
        settings=("actions.bins=5", "dqn.gamma=0", "dqn.n_step=1"),
    ),
    "lunarlander-continuous": Task(
        "lunarlander",
        (Measure(200),),
        game="gym:LunarLanderContinuous-v3",
        steps=100_000,
    ),
    "bipedalwalker": Task(
        "lunarlander",
        (Measure(200),),
        game="gym:BipedalWalker-v3",
        steps=500_000,
        settings=("dqn.distribution=none", "dqn.n_step=3", "replay.capacity=500000"),
    ),
    "deepsea": Task("deepsea", (Measure(0.9),)),
    "snake": Task("snake", (Measure(10),)),
    "connect4": Task(
        "connect4",
        (
            Measure(0.95, "connect4-random", wins=True),
            Measure(0.70, "connect4-search", wins=True),
        ),
        episodes=200,
    ),
    "duel": Task("duel", (Measure(0.60, "duel-script", wins=True),), episodes=200),
    "minatar": Task("minatar", (Measure(0),), reference="Breakout", episodes=50),
    "minatar-asterix": Task(
        *("minatar", (Measure(0),)),
        reference="Asterix",
        game="gym:MinAtar/Asterix-v1",
        episodes=50,
        steps=300_000,
    ),
}

# 80,000 moves are 4,700 updates
_SHORT_CONNECT4 = ("optimizer.schedule.steps=4700", "exploration.steps=10000")

ABLATIONS = {
    # noise has no mean: a policy's return stays what it is, the largest of noisy values does not
    "double": Task(
        "catch",
        (Measure(game="catch"), Measure(game="catch", bias=True)),
        game="catch-noise",
        steps=18_000,
        without=("dqn.double=false",),
    ),
    # 28 of 30 actions do the same: one value tells of all of them
    "dueling": Task(
        "catch",
        (Measure(),),
        game="catch-idle",
        steps=6_000,
        settings=("model={layers: [{dense: 64}, relu], dueling: true}",),
        without=("model={layers: [{dense: 64}, relu]}",),
    ),
    "dueling-cartpole": Task(
        "cartpole",
        (Measure(),),
        steps=15_000,
        settings=("model={layers: [{dense: 128}, relu, {dense: 128}, relu], dueling: true}",),
        without=("model={layers: [{dense: 128}, relu, {dense: 128}, relu]}",),
    ),
    # a network that sees one row is right half of the time
    "memory": Task(
        "memory-chain",
        (Measure(0.95),),
        steps=20_000,
        without=("model={layers: [{dense: 64}, relu, {dense: 64}, relu]}",),
    ),
    "n-step": Task("cartpole", (Measure(),), steps=15_000, without=("dqn.n_step=1",)),
    # a few treasures among 40,000 rows, and few updates to come upon them
    "prioritized": Task(
        "deepsea",
        (Measure(),),
        steps=40_000,
        episodes=20,
        settings=("pace.updates=4", "dqn.prioritized=true"),
        without=("dqn.prioritized=false",),
    ),
    "categorical": Task(
        "cartpole",
        (Measure(),),
        steps=15_000,
        settings=(
            "dqn.distribution=categorical",
            "dqn.categorical.low=0",
            "dqn.categorical.high=100",
        ),
        without=("dqn.distribution=none",),
    ),
    "munchausen": Task(
        "cartpole",
        (Measure(),),
        steps=15_000,
        settings=("dqn.munchausen=true",),
        without=("dqn.munchausen=false",),
    ),
    # as in the paper: one step, and no network but the target's
    "munchausen-paper": Task(
        "cartpole",
        (Measure(),),
        steps=15_000,
        settings=("dqn.munchausen=true", "dqn.n_step=1", "dqn.double=false"),
        without=("dqn.munchausen=false",),
    ),
    "layer-norm": Task(
        "cartpole",
        (Measure(),),
        steps=15_000,
        settings=(
            "model={layers: [{dense: 128}, layer_norm, relu, {dense: 128}, layer_norm, relu]}",
        ),
        without=("model={layers: [{dense: 128}, relu, {dense: 128}, relu]}",),
    ),
    "implicit": Task(
        "cartpole",
        (Measure(),),
        steps=15_000,
        settings=("dqn.distribution=implicit",),
        without=("dqn.distribution=none",),
    ),
    # all moves of a position have a target, by the rules, and not the one that was played alone
    "search": Task(
        "connect4",
        (Measure(game="connect4-search", wins=True),),
        steps=80_000,
        episodes=200,
        settings=("dqn.search={game: connect4, plies: 1}", *_SHORT_CONNECT4),
        without=("dqn.search=null",),
    ),
}
"""A task with an improvement and the same task without it, at the same number of steps."""
