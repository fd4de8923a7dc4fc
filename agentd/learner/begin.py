"""An agent's first checkpoint, from weights that were learned elsewhere."""

import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentd import __version__
from agentd.assembly.learner import learner_for
from agentd.assembly.network import network_for
from agentd.assembly.rows import format_of
from agentd.config import AgentConfig, plain
from agentd.engine.learners.descent import ONLINE
from agentd.engine.network.weights import split
from agentd.engine.numpy_backend import NumPyBackend
from agentd.learner.updater import Progress
from agentd.memory.mapped_file import RingCounters
from agentd.protocol.schema import Schema
from agentd.store import write_checkpoint


def write_first_checkpoint(
    folder: Path, config: AgentConfig, schema: Schema, flat: NDArray[np.float32]
) -> str:
    """Write what a learner is that begins with the weights (P,); return the checkpoint's name.

    ``folder`` is that of the agent's checkpoints. Raises ModelError, StorageError, and
    TrainingDiverged for numbers that are not finite.
    """
    network = network_for(config, schema)
    learner = learner_for(config, network, NumPyBackend(), format_of(config, schema))
    arrays, scalars = learner.get_state()
    arrays = {
        name: flat if name in ("params", "target", ONLINE) else v for name, v in arrays.items()
    }
    counters = RingCounters()
    facts = {
        "agentd": __version__,
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "config": plain(config),
        "schema": schema.to_wire(),
        "learner": scalars,
        "progress": list(Progress()),
        "counters": counters._asdict(),
        "epsilon": config.exploration.epsilon(0),
        "frozen": False,
        "diverged": False,
    }
    weights = split(network, arrays.pop("params"))
    return write_checkpoint(folder, 0, facts, weights, arrays, keep=config.checkpoint.keep)
