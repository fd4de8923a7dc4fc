"""The configuration of deep Q-learning."""

from math import exp
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from agentd.engine.learners.heads import (
    CategoricalConfig,
    CategoricalHead,
    Head,
    QuantileConfig,
    QuantileHead,
    ValueHead,
)
from agentd.engine.learners.implicit_head import ImplicitConfig, ImplicitHead
from agentd.engine.replay.priorities import PriorityConfig
from agentd.engine.replay.rows import RowFormat
from agentd.engine.replay.sequences import SequenceConfig
from agentd.engine.strictyaml import Count, Fraction, Positive, Record


class TargetConfig(Record, frozen=True, kw_only=True):
    """When the target network follows the online network; exactly one of the two is set."""

    every: Count | None = None  # a hard copy every so many updates
    tau: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None  # or a soft step per update

    def __post_init__(self) -> None:
        if (self.every is None) == (self.tau is None):
            raise ValueError("exactly one of `every` and `tau`")


class MunchausenConfig(Record, frozen=True, kw_only=True):
    """The soft policy of Munchausen-DQN and what it adds to the reward (arXiv:2007.14430)."""

    alpha: Fraction = 0.9  # share of ln π of the action taken, times tau, that is added
    tau: Positive = 0.03  # temperature of the policy, in units of reward
    clip: Annotated[float, Meta(le=0, ge=-1e6)] = -1.0  # tau ln π counts as so much at least


class SearchConfig(Record, frozen=True, kw_only=True):
    """Targets by a search, in a game whose two sides the agent plays and whose rules are known."""

    game: Annotated[str, Meta(min_length=1, max_length=64)]  # whose rules are played ahead
    plies: Annotated[int, Meta(ge=1, le=4)] = 1  # moves ahead that are played by the rules


GAMMA = 0.99
Horizon: TypeAlias = Annotated[float, Meta(gt=0, le=1e6)] | None
NOMINAL_DT_S = 1 / 60
"""Seconds from row to row of a game that does not say how many."""


class DqnConfig(Record, frozen=True, kw_only=True):
    """Double Q-learning from replay (van Hasselt et al. 2015, arXiv:1509.06461)."""

    gamma: Fraction = GAMMA  # discount per step
    # gamma then follows from the time between two rows, and from how long each of them took
    horizon_s: Horizon = None  # seconds after which a reward counts 1/e; null: `gamma` counts
    # a stream's rows are those of two sides in turn: what the next row gains, this one loses
    alternating: bool = False
    # several branches have one error, that of their mean value (DecQN, arXiv:2210.12566); false:
    # each has its own. null: one where actions are numbers (box, mixed), else its own
    mean_error: bool | None = None
    n_step: Annotated[int, Meta(ge=1, le=64)] = 3  # rewards summed before the bootstrap
    double: bool = True  # choose with the online network, value with the target network
    batch: Annotated[int, Meta(ge=1, le=65536)] = 128  # rows per update
    target: TargetConfig = msgspec.field(default_factory=lambda: TargetConfig(tau=0.005))
    clip_norm: Positive | None = 10.0  # bound on the gradient's norm
    # what plays is a running mean of the weights after the last updates, about so many; null: the
    # newest weights
    average: Count | None = 2_048
    prioritized: bool = False  # draw what was most wrong most often
    priority: PriorityConfig = msgspec.field(default_factory=PriorityConfig)
    # what the network says of each action: its value, or a distribution of returns
    distribution: Literal["none", "categorical", "quantile", "implicit"] = "none"
    categorical: CategoricalConfig = msgspec.field(default_factory=CategoricalConfig)
    quantile: QuantileConfig = msgspec.field(default_factory=QuantileConfig)
    implicit: ImplicitConfig = msgspec.field(default_factory=ImplicitConfig)
    # add tau ln π of the action taken to the reward, and value what follows by the policy π, a
    # softmax of the target network, and its entropy: values then hold more than rewards
    munchausen: bool = False
    soft_policy: MunchausenConfig = msgspec.field(default_factory=MunchausenConfig)
    # dense layers draw their weights anew for every update (arXiv:1706.10295); with
    # exploration.kind noisy that explores, too
    noisy: bool = False
    frame_stack: Annotated[int, Meta(ge=1, le=64)] = 1  # rows of a stream that make one input
    # so many actions that were played before the row are part of the input: for a client whose
    # actions take effect late, its delay in rows and one more
    last_actions: Annotated[int, Meta(ge=0, le=16)] = 0
    # as {game: connect4, plies: 1}: `n_step` and `double` then count for nothing
    search: SearchConfig | None = None  # targets of all actions, by looking ahead; null: by rows
    # what a model with a recurrent layer learns from
    sequences: SequenceConfig = msgspec.field(default_factory=SequenceConfig)
    normalize_observations: bool = False  # by the mean and variance of all that was seen

    def __post_init__(self) -> None:
        if self.horizon_s is not None and self.gamma != GAMMA:
            raise ValueError(
                f"horizon_s ({self.horizon_s:g}) and gamma ({self.gamma:g}) both say how far ahead "
                f"rewards count: leave one of them out (horizon_s: null, or gamma: {GAMMA})"
            )
        if self.distribution == "implicit" and self.mean_error:
            raise ValueError(
                "mean_error is for plain values: with distribution implicit each branch has a loss "
                "of its own"
            )
        if self.search is not None:
            self._check_search()

    def _check_search(self) -> None:
        """Raise ValueError, naming it, where an option cannot go with ``search``."""
        if not self.alternating:
            raise ValueError(
                "dqn.search wants dqn.alternating true, got false: a search values each position "
                "for the side that moves next, so rows must be those of both sides in turn"
            )
        unfit = {
            "distribution": (self.distribution, "none", "a search finds a value, no distribution"),
            "munchausen": (self.munchausen, False, "its values hold more than rewards"),
            "frame_stack": (self.frame_stack, 1, "a searched position is one row"),
            "last_actions": (self.last_actions, 0, "a searched position is one row"),
        }
        for name, (got, wanted, why) in unfit.items():
            if got != wanted:
                raise ValueError(f"dqn.search wants dqn.{name} {wanted}, got {got}: {why}")

    @property
    def not_for_others(self) -> str | None:
        """The name of an option in use that no other learner may leave out; None where none is."""
        if self.last_actions:
            return "last_actions"
        if self.distribution == "implicit":
            return "distribution"
        if self.munchausen:
            return "munchausen"
        return None if self.search is None else "search"

    def per_row(self, dt_s: float = NOMINAL_DT_S) -> float:
        """Return the discount from row to row, ``dt_s`` seconds apart by ``horizon_s``.

        It is negative where two sides move in turn (negamax): alternating Markov games, Littman
        1996, section 3.2.
        """
        gamma = self.gamma if self.horizon_s is None else exp(-dt_s / self.horizon_s)
        return -gamma if self.alternating else gamma

    def shares_error(self, format: RowFormat) -> bool:
        """Return whether the branches of such rows have one error, see ``mean_error``."""
        return format.numbers if self.mean_error is None else self.mean_error

    def head(self) -> Head:
        """Return what the network's outputs mean."""
        match self.distribution:
            case "categorical":
                return CategoricalHead(self.categorical)
            case "quantile":
                return QuantileHead(self.quantile)
            case "implicit":
                return ImplicitHead(self.implicit)
        return ValueHead()
