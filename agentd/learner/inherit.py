"""What an agent begins with that is made of another one, or of itself: its first checkpoint.

A learner's state is that of a new one, with what the old one knows laid over it: what depends on
the rows of a ring stays behind with these.
"""

from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from agentd.assembly.learner import learner_for
from agentd.assembly.network import network_for
from agentd.assembly.rows import format_of
from agentd.assembly.weights import initial_weights
from agentd.config import AgentConfig
from agentd.engine.learners.dqn_config import NOMINAL_DT_S
from agentd.engine.learners.growth import grow_state, growth_of
from agentd.engine.network.growth import GrownNetwork
from agentd.engine.network.weights import join, split
from agentd.engine.numpy_backend import NumPyBackend
from agentd.learner.checkpoints import checkpoint_facts
from agentd.learner.updater import Progress
from agentd.memory.mapped_file import RingCounters
from agentd.protocol.schema import Schema
from agentd.store import Checkpoint, Exploring, write_checkpoint

Arrays = dict[str, NDArray[Any]]


class AgentShape(NamedTuple):
    """What decides an agent's network: how it learns, and what its games look like."""

    config: AgentConfig
    schema: Schema


class FirstState(NamedTuple):
    """What a first checkpoint holds, and the counters of the ring that goes with it."""

    step: int
    facts: dict[str, Any]
    weights: Arrays
    state: Arrays
    counters: RingCounters

    def write(self, folder: Path, keep: int) -> str:
        """Write it as a checkpoint below the agent's ``folder``. Raises StorageError."""
        parts = self.step, self.facts, self.weights, self.state
        return write_checkpoint(folder / "checkpoints", *parts, keep=keep)


def grown_network(old: AgentShape, new: AgentShape) -> GrownNetwork:
    """Return what brings weights of one agent to another. Raises CannotGrow, ModelError."""
    growth = growth_of(format_of(*old), format_of(*new), _atoms(new.config))
    return GrownNetwork(network_for(*old), network_for(*new), growth)


def first_state(
    new: AgentShape,
    exploring: Exploring,
    dt_ms: float | None,
    found: Checkpoint | None = None,
    old: AgentShape | None = None,
) -> FirstState:
    """Return the state of an agent that knows what the checkpoint ``found`` of ``old`` holds.

    Without one it knows nothing. Raises CannotGrow, ModelError, WeightsError.
    """
    step = 0 if found is None else found.step
    grown = grown_network(old or new, new)
    network = network_for(*new)
    if new.config.learner == "none":
        params = initial_weights(new.config, network)
        if found is not None:
            params = grown.params(join(network_for(*(old or new)), found.weights))
        facts = {"learner": "none"}
        return FirstState(step, facts, split(network, params), {}, RingCounters())
    dt_s = NOMINAL_DT_S if dt_ms is None else dt_ms / 1e3
    backend, format = NumPyBackend(), format_of(*new)
    state = learner_for(new.config, network, backend, format, dt_s).get_state()
    counters = RingCounters()
    if found is not None:
        params = join(network_for(*(old or new)), found.weights)
        known = {**found.state, "params": params}, found.facts["learner"]
        state = grow_state(known, state, grown)
        counters = RingCounters(**found.facts["counters"])._replace(head=0, masks_since=-1)
    arrays, scalars = state
    weights = split(network, arrays.pop("params"))
    facts = checkpoint_facts(*new, scalars, Progress(), counters, exploring)
    return FirstState(step, facts, weights, arrays, counters)


def _atoms(config: AgentConfig) -> int:
    return config.dqn.head().columns if config.learner == "dqn" else 1
