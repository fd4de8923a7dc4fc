"""What an agent will take of memory and disk: told, and refused, before anything is made.

The figures are estimates. Memory is that of the serving process and of the learner together, the
board counted; a ring is mapped from disk and only borrows memory, so it counts there.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from agentd.assembly.footprint import optimizer_bytes, pass_bytes
from agentd.assembly.network import network_for
from agentd.assembly.ring import plan_ring
from agentd.assembly.rows import format_of, most_rows
from agentd.config import AgentConfig, ConfigError
from agentd.config.records import LimitsConfig
from agentd.engine.errors import ModelError
from agentd.engine.network import Network
from agentd.engine.optim.spec import OptimizerSpec
from agentd.machine import memory_bytes
from agentd.protocol.schema import Schema

_FLOAT = 4
_LEAST_CAPACITY = 16
_LEAVES = 4_096
"""Positions that a search values at once."""
_IMAGES = (1, 8, 36, 84, 128, 256)
"""Sides of the squares that are tried where a model reads planes and no game is known yet."""


class AgentSize(NamedTuple):
    """What an agent takes, bytes by part. ``parameters`` counts its network's numbers."""

    parameters: int
    memory: Mapping[str, int]
    disk: Mapping[str, int]


def estimate(config: AgentConfig, schema: Schema, limits: LimitsConfig) -> AgentSize:
    """Return what an agent takes for games of ``schema``. Raises ModelError, OverBudget.

    OverBudget where the parameters alone are more than the limit: nothing else is looked at then.
    """
    network = network_for(config, schema, acting=True)
    params = _FLOAT * network.n_params
    _check_memory({"parameters": 2 * params}, limits)
    rows = most_rows(schema, limits)
    inputs = _input_bytes(config, schema)
    acting = pass_bytes(network, rows) + rows * (schema.row_bytes + inputs)
    drawn = 2 * _FLOAT * max(slot.size for slot in network.slots) + params  # in float64 at first
    memory = {"parameters": 2 * params, "activations": acting, "first weights": drawn}
    disk: dict[str, int] = {}
    state = params
    if config.learner != "none":
        learning = network_for(config, schema)
        moments = _optimizer(config, learning)
        targets = params * (config.learner == "dqn")
        averages = config.learner == "dqn" and config.dqn.average is not None
        state += moments + targets + params * averages
        memory["parameters"] += params
        memory |= {
            "gradients": params,
            "optimizer": moments,
            "target network": targets,
            "mean of weights": 2 * params * averages,
            "batches": _batches(config, schema, learning),
            "weight board": 2 * params,
            "saving": 2 * state,
        }
        plan = plan_ring(config, schema, limits)
        disk = {"replay ring": plan.bytes, "weight board": 2 * params}
    disk["checkpoints"] = (config.checkpoint.keep + 1) * state
    return AgentSize(network.n_params, memory, disk)


def estimate_least(config: AgentConfig, limits: LimitsConfig) -> AgentSize | None:
    """Return what an agent takes at least, whatever the game; None where that cannot be told.

    Raises OverBudget as ``estimate``.
    """
    shapes = [[1], *([side, side, 1] for side in _IMAGES)]
    for shape in shapes:
        observation = {"x": {"dtype": "float32", "shape": shape}}
        schema = Schema.from_wire(observation, {"kind": "discrete", "n": 1})
        try:
            return estimate(config, schema, limits)
        except ModelError:
            continue  # the layers do not fit this game; perhaps the next one
    return None


def training_bytes(network: Network, batch: int, optimizer: OptimizerSpec) -> int:
    """Bytes of memory that training on data takes: parameters, gradient, optimizer, a batch."""
    state = optimizer_bytes(optimizer, network.n_trainable)
    return 2 * _FLOAT * network.n_params + state + pass_bytes(network, batch, training=True)


class OverBudget(ConfigError):
    """An agent would take more than a limit allows; ``expected`` names the limit."""


def check_memory(budget: AgentSize, limits: LimitsConfig) -> None:
    """Raise OverBudget when an agent takes more memory than is allowed."""
    _check_memory(budget.memory, limits)


def fit_disk(
    config: AgentConfig, schema: Schema, limits: LimitsConfig, free: int, *, shrink: bool
) -> AgentConfig:
    """Return the configuration with a ring that fits on the disk, where ``free`` bytes are left.

    A capacity that does not fit is made smaller if ``shrink``; otherwise, and where the smallest
    that the configuration allows is too large as well, OverBudget is raised.
    """
    budget = estimate(config, schema, limits)
    most = min(free, limits.agent_disk_bytes or free)
    need = sum(budget.disk.values())
    if need <= most:
        return config
    fitting = _largest_capacity(config, schema, limits, most - need + budget.disk["replay ring"])
    if shrink and fitting is not None:
        return fitting
    advice = "free some space, or raise the limit"
    if fitting is not None:
        advice = f"set replay.capacity to at most {fitting.replay.capacity:,}, or {advice}"
    limit = limits.agent_disk_bytes
    named = "limits.agent_disk_bytes" if limit is not None and limit <= free else "free on the disk"
    raise OverBudget(
        f"{config.replay.capacity:,} rows of {schema.row_bytes:,} bytes need too much disk",
        key="replay.capacity",
        expected=f"at most {in_bytes(most)} ({named})",
        got=f"{in_bytes(need)} ({listed(budget.disk)})",
        hint=advice,
    )


def memory_limit(limits: LimitsConfig) -> int:
    """Bytes of memory that one agent may take: half of the machine's where no limit is set."""
    limit = limits.agent_memory_bytes
    return memory_bytes() // 2 if limit is None else limit


def in_bytes(count: int) -> str:
    """A number of bytes for people: 1.5 GB."""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} B" if units[0] == "B" else f"{size:.1f} {units[0]}"


def listed(parts: Mapping[str, int]) -> str:
    """The parts of an estimate for people, the largest first."""
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {in_bytes(count)}" for name, count in ordered if count)


def _check_memory(parts: Mapping[str, int], limits: LimitsConfig) -> None:
    need, most = sum(parts.values()), memory_limit(limits)
    if need > most:
        raise OverBudget(
            "an agent of this model needs too much memory",
            key="model",
            expected=f"at most {in_bytes(most)} (limits.agent_memory_bytes)",
            got=f"{in_bytes(need)} ({listed(parts)})",
            hint="make the model or the rows smaller, or raise the limit",
        )


def _optimizer(config: AgentConfig, network: Network) -> int:
    if config.learner == "stream_q":  # eligibility traces, and an optimizer of its own
        return 2 * _FLOAT * network.n_params
    return optimizer_bytes(config.optimizer, network.n_trainable)


def _input_bytes(config: AgentConfig, schema: Schema) -> int:
    """Return the bytes of the rows, and of the last actions, that one input is made of."""
    format = format_of(config, schema)
    actions = _FLOAT * format.last_actions * (format.n_actions + len(format.branches))
    return format.stack * format.row_bytes + actions


def _batches(config: AgentConfig, schema: Schema, network: Network) -> int:
    """Return the bytes of a batch's rows and activations."""
    raw = _input_bytes(config, schema) + _FLOAT * schema.features
    match config.learner:
        case "dqn" if network.memory:
            shape = config.dqn.sequences
            rows = shape.batch * shape.rows(config.dqn.n_step)
            passes = pass_bytes(network, rows)
        case "dqn":
            rows, head = config.dqn.batch, config.dqn.head()
            choosing = (1 + config.dqn.munchausen) * [head.choosing(network)]
            passes = sum(
                pass_bytes(form, rows, noisy=True) for form in (head.valuing(network), *choosing)
            )
            passes += _search(config, schema, network)
        case "pqn":
            rows, passes = -(-config.pace.train_every // config.pqn.minibatches), 0
            raw += 2 * raw
        case "supervised":
            rows, passes = config.supervised.batch, 0
        case _:
            rows, passes = 1, 0
    return passes + pass_bytes(network, rows, training=True) + 2 * rows * raw


def _search(config: AgentConfig, schema: Schema, network: Network) -> int:
    """Return the bytes of all positions that targets are searched in, and of valuing a block."""
    dqn, each = config.dqn, 2 * _FLOAT * schema.features
    if dqn.search is None:
        return 0
    positions: int = dqn.batch * schema.n_actions**dqn.search.plies
    return pass_bytes(network, _LEAVES) + each * positions


def _largest_capacity(
    config: AgentConfig, schema: Schema, limits: LimitsConfig, most: int
) -> AgentConfig | None:
    """Return the configuration with the largest ring of ``most`` bytes; None if none is valid."""
    low, high, found = _LEAST_CAPACITY, config.replay.capacity, None
    while low <= high:
        middle = (low + high) // 2
        replay = msgspec.structs.replace(config.replay, capacity=middle)
        try:
            tried = msgspec.structs.replace(config, replay=replay)
        except ValueError:  # other values of the configuration need a larger one
            low = middle + 1
            continue
        if plan_ring(tried, schema, limits).bytes <= most:
            low, found = middle + 1, tried
        else:
            high = middle - 1
    return found
