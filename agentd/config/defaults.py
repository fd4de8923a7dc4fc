"""What an agent has that nobody configured, chosen by what it learned (docs/RESULTS.md)."""

from agentd.engine.layers import Dense, LayerNorm, Relu
from agentd.engine.network.spec import ModelSpec
from agentd.engine.optim.spec import OptimizerSpec

SOFT_NORM = LayerNorm(eps=0.1)
"""Layer norm that leaves features small whose variance is far below 0.1: where a game's numbers are
near 0 all the time, plain layer norm would show nothing but their direction."""
STEADY = OptimizerSpec(lr=5e-4, eps=1e-4)
"""Adam for an agent that learns without an end: with an ε of 1e-8 its steps stay as long where the
gradient is hardly more than noise, and a policy that plays well is lost again and again."""


def default_model() -> ModelSpec:
    """Return two dense layers with layer norm, which bounds the values of rows never seen."""
    return ModelSpec(layers=(Dense(128), SOFT_NORM, Relu(), Dense(128), SOFT_NORM, Relu()))
