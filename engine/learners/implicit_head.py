"""Implicit quantiles as what a Q-network's outputs mean (IQN, arXiv:1806.06923).

An update draws N fractions for the values that it changes and N' for their targets; what chooses
actions, there and in play, are the means over K fractions that never change.

Shapes: B rows, A actions over all branches, N branches.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from agentd.engine.backend import Shape
from agentd.engine.errors import ModelError
from agentd.engine.layers import Expectation, LayerSpec
from agentd.engine.layers.implicit import ImplicitQuantiles
from agentd.engine.learners.heads import BaseQuantileHead
from agentd.engine.network import Network
from agentd.engine.rules.td import HUBER_WIDTH
from agentd.engine.strictyaml import Positive, Record


class ImplicitConfig(Record, frozen=True, kw_only=True):
    """How many fractions of the return are looked at (IQN, arXiv:1806.06923)."""

    samples: Annotated[int, Meta(ge=2, le=1024)] = 8  # N, drawn for the values that are learned
    targets: Annotated[int, Meta(ge=1, le=1024)] = 8  # N', drawn for their targets
    choices: Annotated[int, Meta(ge=1, le=1024)] = 16  # K, even and fixed: their mean chooses
    cosines: Annotated[int, Meta(ge=1, le=1024)] = 64  # features of a fraction
    kappa: Positive = HUBER_WIDTH  # the width of the quantiles' Huber loss


@dataclass(frozen=True, slots=True)
class ImplicitHead(BaseQuantileHead):
    """A number for each action and fraction: the outputs of the learning network, N fractions."""

    config: ImplicitConfig

    @property
    def atoms(self) -> int:
        return self.config.samples

    @property
    def columns(self) -> int:
        return 1

    @property
    def kappa(self) -> float:
        return self.config.kappa

    def wrapped(self, acting: bool) -> ImplicitQuantiles | None:
        config = self.config
        n = config.choices if acting else config.samples
        return ImplicitQuantiles(n, cosines=config.cosines, fixed=acting)

    def valuing(self, network: Network) -> Network:
        return _at(network, self.config.targets, fixed=False)

    def choosing(self, network: Network) -> Network:
        return _at(network, self.config.choices, fixed=True)

    def target_shape(self, size: int, branches: Shape) -> Shape:
        return (size, self.config.targets * len(branches))

    def expectation(self) -> tuple[LayerSpec, ...]:
        return (Expectation(self.config.choices),)


def _at(network: Network, samples: int, *, fixed: bool) -> Network:
    """Return the same network, with the same parameters, at other fractions."""
    *first, last = network.specs
    if not isinstance(last, ImplicitQuantiles):
        raise ModelError("dqn.distribution implicit: expected a network that ends in its layer")
    last = msgspec.structs.replace(last, samples=samples, fixed=fixed)
    return Network(*first, last, input_shape=network.input_shape)
