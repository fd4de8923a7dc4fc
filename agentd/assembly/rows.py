"""From a game's schema to the rows that the engine reads."""

from agentd.config.records import AgentConfig
from agentd.engine.replay.rows import RowFormat, TensorFormat
from agentd.protocol.schema import Schema


def stack_of(config: AgentConfig) -> int:
    """Return how many rows of a stream make one input."""
    return config.dqn.frame_stack if config.learner == "dqn" else 1


def row_format(schema: Schema, stack: int = 1) -> RowFormat:
    """Return how the engine reads the schema's raw rows, ``stack`` of a stream at a time."""
    tensors = tuple(
        TensorFormat(t.name, t.dtype, t.shape, t.offset, t.nbytes) for t in schema.tensors
    )
    return RowFormat(tensors, schema.branches, stack)
