"""The defaults of an agent whose game shows a small grid: a board, a map, planes of cells.

In such a game each row is a decision, and what matters is which things lie beside each other. Five
things made Snake learn in ten minutes (docs/RESULTS.md): a bootstrap after one row, a convolution,
layer norm, a shorter horizon, and softmax exploration. With softmax a row that explores takes an
action that is nearly as good as the best one; a random action often ends the game. Batches are half
as large, since a convolution takes several times as long for an update as dense layers.
"""

import msgspec

from agentd.config import AgentConfig
from agentd.engine.layers import ChannelsLast, Conv2d, Dense, Flatten, LayerNorm, LayerSpec, Relu
from agentd.engine.rules.exploration import ExplorationConfig
from agentd.protocol.schema import Schema

LARGEST = 20
"""Cells of a grid's side, at most: a convolution over a larger picture takes too much time."""
SMALLEST = 3
"""Cells of a grid's side, at least: the size of the convolution's window."""
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
    """Return the configuration with the defaults for grids.

    It is returned unchanged if the rows are no grid, if the agent does not learn by ``dqn``, or if
    somebody set its model, its ``dqn`` or its exploration.
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
        dqn=msgspec.structs.replace(config.dqn, gamma=0.95, n_step=1, batch=64),
        exploration=ExplorationConfig(kind="boltzmann", start=1.0, end=0.05, steps=3_000),
    )


def _channels_first(shape: tuple[int, ...]) -> bool:
    """Return whether the first dimension counts planes: it is then smaller than the last one."""
    return shape[0] < shape[2]
