"""From a game's schema to the rows that the engine reads, and how many at once."""

from agentd.assembly.actions import codec_of, numbered
from agentd.config.records import AgentConfig, LimitsConfig
from agentd.engine.replay.rows import BinGrowth, RowFormat, TensorFormat
from agentd.protocol.schema import Schema

PASS_ROWS, PASS_BYTES = 2_048, 64 << 20
"""Rows that one forward pass takes from several frames, and their bytes as float32. As many are
answered in one turn of the event loop: a millisecond or two of a small network."""


def format_of(config: AgentConfig, schema: Schema) -> RowFormat:
    """Return how an agent's inputs are made of rows."""
    codec, schema = codec_of(config, schema), numbered(config, schema)
    every, numbers, growth = config.actions.grow_every, codec is not None, None
    if codec is not None and every is not None:
        growth = BinGrowth(every, codec.levels())
    if config.learner != "dqn":
        return row_format(schema, numbers=numbers)
    depths = config.dqn.frame_stack, config.dqn.last_actions
    return row_format(schema, *depths, numbers=numbers, growth=growth)


def row_format(
    schema: Schema,
    stack: int = 1,
    last_actions: int = 0,
    *,
    numbers: bool = False,
    growth: BinGrowth | None = None,
) -> RowFormat:
    """Return how the engine reads the schema's raw rows, ``stack`` of a stream at a time.

    The ``last_actions`` that were played before them come with them. ``numbers``: some of the
    actions stand for numbers, whose bins ``growth`` makes finer.
    """
    tensors = tuple(
        TensorFormat(t.name, t.dtype, t.shape, t.offset, t.nbytes) for t in schema.tensors
    )
    return RowFormat(tensors, schema.branches, stack, last_actions, numbers, growth)


def pass_rows(schema: Schema) -> int:
    """Return how many rows a forward pass takes from several frames."""
    return max(1, min(PASS_ROWS, PASS_BYTES // (4 * schema.features)))


def most_rows(schema: Schema, limits: LimitsConfig) -> int:
    """Return how many rows a forward pass may have: those of one frame where these are more."""
    frame = min(limits.max_rows, limits.max_frame // schema.row_bytes)
    return max(pass_rows(schema), frame)
