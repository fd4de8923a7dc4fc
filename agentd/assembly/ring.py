"""From an agent's configuration to the ring that its learner reads."""

from typing import NamedTuple

from agentd.assembly.actions import numbered
from agentd.assembly.network import network_for
from agentd.assembly.rows import format_of, most_rows
from agentd.config.records import AgentConfig, LimitsConfig
from agentd.memory.layout import RingLayout, slack_for
from agentd.memory.mapped_file import file_bytes
from agentd.memory.teach_ring import TeachLayout
from agentd.protocol.schema import Schema


class RingPlan(NamedTuple):
    """A ring before it is made: what its rows are made of, and how many slots there are for them.

    slack  slots beside the ``capacity`` rows that count
    """

    layout: RingLayout | TeachLayout
    capacity: int
    slack: int

    @property
    def bytes(self) -> int:
        """How large its file is, once all slots were written."""
        return file_bytes(self.layout.columns, self.capacity + self.slack)


def plan_ring(config: AgentConfig, schema: Schema, limits: LimitsConfig) -> RingPlan:
    """Return the ring of an agent for games of ``schema``."""
    width = network_for(config, schema).memory_width
    period = config.pace.train_every if config.pace.mode == "paced" else 0
    schema = numbered(config, schema)
    capacity, most = config.replay.capacity, most_rows(schema, limits)
    slack = slack_for(capacity, most, period, schema.row_bytes)
    layout: RingLayout | TeachLayout
    if config.learner == "supervised":
        target = config.supervised.target
        numbers = schema.n_actions if target == "value" else 1
        layout = TeachLayout(schema.row_bytes, target, numbers, schema.digest())
    else:
        layout = RingLayout(
            schema.row_bytes,
            schema.n_actions,
            len(schema.branches),
            schema.digest(),
            backwards=width > 0 or format_of(config, schema).depth > 1,
            elapsed=config.learner == "dqn" and config.dqn.horizon_s is not None,
            memory=width,
        )
    return RingPlan(layout, capacity, slack)
