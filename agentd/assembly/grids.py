"""The defaults of an agent whose game shows a small grid: a board, a map, planes of cells.

In such games a row is a decision, not a sixtieth of a second, and what counts is where things lie
beside each other. Of all that was tried on Snake (docs/RESULTS.md) this counted, in this order: a
bootstrap after one row, a convolution, layer norm, a short horizon, and exploring by value, so that
a row that explores takes a step that is nearly as good rather than the deadly one.
"""

import msgspec

from agentd.config import AgentConfig
from agentd.engine.layers import ChannelsLast, Conv2d, Dense, Flatten, LayerNorm, LayerSpec, Relu
from agentd.engine.rules.exploration import ExplorationConfig
from agentd.protocol.schema import Schema

LARGEST = 20
"""Cells of a side of a grid, at most; larger ones are pictures, and a convolution of every place of
a picture is more than a learner has time for."""
SMALLEST = 3
_TUNED = ("model", "dqn", "exploration")


def is_grid(schema: Schema) -> bool:
    """Return whether rows are one grid of whole numbers, channels first or last."""
    if len(schema.tensors) != 1 or schema.tensors[0].dtype.kind not in "iu":
        return False
    shape = schema.tensors[0].shape
    if len(shape) != 3:
        return False
    sides = shape[1:] if _channels_first(shape) else shape[:2]
    return min(sides) >= SMALLEST and max(sides) <= LARGEST


def fit_grid(config: AgentConfig, schema: Schema) -> AgentConfig:
    """Return the configuration with a grid's defaults, where nobody has chosen any others.

    It is left alone where the game shows no grid, the agent does not learn by ``dqn``, or the
    person set one of its model, its ``dqn`` and its exploration.
    """
    default = AgentConfig()
    chosen = any(getattr(config, name) != getattr(default, name) for name in _TUNED)
    if chosen or config.learner != "dqn" or not is_grid(schema):
        return config
    first: tuple[LayerSpec, ...] = ()
    if _channels_first(schema.tensors[0].shape):
        first = (ChannelsLast(),)
    layers = (*first, Conv2d(16, 3), Relu(), Flatten(), Dense(128), LayerNorm(), Relu())
    return msgspec.structs.replace(
        config,
        model=msgspec.structs.replace(config.model, layers=layers),
        dqn=msgspec.structs.replace(config.dqn, gamma=0.95, n_step=1),
        exploration=ExplorationConfig(kind="boltzmann", start=1.0, end=0.05, steps=3_000),
    )


def _channels_first(shape: tuple[int, ...]) -> bool:
    """Whether the first dimension is the fewest things: planes, not rows of cells."""
    return shape[0] < shape[2]
