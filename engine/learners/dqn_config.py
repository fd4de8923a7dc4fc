"""The configuration of deep Q-learning."""

from typing import Annotated, Literal

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
from agentd.engine.replay.priorities import PriorityConfig
from agentd.engine.strictyaml import Count, Fraction, Positive, Record


class TargetConfig(Record, frozen=True, kw_only=True):
    """When the target network follows the online network; exactly one of the two is set."""

    every: Count | None = None  # a hard copy every so many updates
    tau: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None  # or a soft step per update

    def __post_init__(self) -> None:
        if (self.every is None) == (self.tau is None):
            raise ValueError("exactly one of `every` and `tau`")


class DqnConfig(Record, frozen=True, kw_only=True):
    """Double Q-learning from replay (van Hasselt et al. 2015, arXiv:1509.06461)."""

    gamma: Fraction = 0.99  # discount per step
    # a stream's rows are those of two sides in turn: what the next row gains, this one loses
    alternating: bool = False
    n_step: Annotated[int, Meta(ge=1, le=64)] = 1  # rewards summed before the bootstrap
    double: bool = True  # choose with the online network, value with the target network
    batch: Annotated[int, Meta(ge=1, le=65536)] = 128  # rows per update
    target: TargetConfig = msgspec.field(default_factory=lambda: TargetConfig(every=500))
    clip_norm: Positive | None = 10.0  # bound on the gradient's norm
    prioritized: bool = False  # draw what was most wrong most often
    priority: PriorityConfig = msgspec.field(default_factory=PriorityConfig)
    # what the network says of each action: its value, or a distribution of returns
    distribution: Literal["none", "categorical", "quantile"] = "none"
    categorical: CategoricalConfig = msgspec.field(default_factory=CategoricalConfig)
    quantile: QuantileConfig = msgspec.field(default_factory=QuantileConfig)
    # dense layers draw their weights anew for every update (arXiv:1706.10295); with
    # exploration.kind noisy that explores, too
    noisy: bool = False
    frame_stack: Annotated[int, Meta(ge=1, le=64)] = 1  # rows of a stream that make one input
    # so many actions that were played before the row are part of the input: for a client whose
    # actions take effect late, its delay in rows and one more
    last_actions: Annotated[int, Meta(ge=0, le=16)] = 0
    normalize_observations: bool = False  # by the mean and variance of all that was seen

    @property
    def per_row(self) -> float:
        """The discount from row to row; negative where two sides move in turn (negamax).

        Alternating Markov games: Littman 1996, section 3.2.
        """
        return -self.gamma if self.alternating else self.gamma

    def head(self) -> Head:
        """Return what the network's outputs mean."""
        match self.distribution:
            case "categorical":
                return CategoricalHead(self.categorical)
            case "quantile":
                return QuantileHead(self.quantile)
        return ValueHead()
