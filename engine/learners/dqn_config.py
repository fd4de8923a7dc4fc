"""What deep Q-learning from replay may be told to do."""

from dataclasses import dataclass, field
from typing import Literal

from agentd.engine.learners.heads import CategoricalHead, Head, QuantileHead, ValueHead
from agentd.engine.replay.priorities import PriorityConfig
from agentd.engine.replay.rewards import RewardConfig

HUBER_WIDTH = 1.0
"""Where Huber's loss stops being quadratic: Mnih et al. 2015 clip the error at 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DqnConfig:
    """What a `DqnLearner` does with its rows.

    gamma         discount per step, in [0, 1]
    alternating   a stream's rows are those of two sides in turn, each as its own side sees it: what
                  is gained from the next row on counts against this one, -gamma stands for gamma
                  (negamax; alternating Markov games, Littman 1996, section 3.2)
    n_step        rewards summed before the bootstrap, at least 1
    double        the online network selects the action that the target network values
    batch         B, transitions per update
    target_every  hard copy into the target network after so many updates, or None
    target_tau    soft step of the target network after every update, in (0, 1], or None
    clip_norm     bound on the gradient's norm, or None
    loss          of plain values: "huber" of width 1, or "mse", half the squared error
    distribution  what the outputs are instead of plain values: C51's or QR-DQN's head, or None
    priority      how errors decide what is drawn, or None: every start is equally likely
    reward        what a reward counts

    Exactly one of ``target_every`` and ``target_tau`` is set. Raises ValueError otherwise.
    """

    gamma: float = 0.99
    alternating: bool = False
    n_step: int = 1
    double: bool = True
    batch: int = 128
    target_every: int | None = 500
    target_tau: float | None = None
    clip_norm: float | None = 10.0
    loss: Literal["huber", "mse"] = "huber"
    distribution: CategoricalHead | QuantileHead | None = None
    priority: PriorityConfig | None = None
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        if (self.target_every is None) == (self.target_tau is None):
            raise ValueError("want exactly one of target_every and target_tau")
        if not 0 <= self.gamma <= 1 or self.n_step < 1 or self.batch < 1:
            raise ValueError("want 0 <= gamma <= 1, n_step >= 1 and batch >= 1")

    @property
    def per_row(self) -> float:
        """What a reward loses from row to row, its sign where sides alternate."""
        return -self.gamma if self.alternating else self.gamma

    @property
    def head(self) -> Head:
        """What the network's outputs mean."""
        return self.distribution or ValueHead(HUBER_WIDTH if self.loss == "huber" else None)
