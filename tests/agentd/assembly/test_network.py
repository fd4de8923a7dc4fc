"""The network that an agent's schema and configuration make."""

from __future__ import annotations

import pytest

from agentd.assembly.budget import estimate
from agentd.assembly.network import network_for
from agentd.config import LimitsConfig, agent_config_from_wire
from agentd.engine.errors import ModelError
from agentd.protocol.schema import Schema


def schema(*shape):
    return Schema.from_wire(
        {"x": {"dtype": "uint8", "shape": list(shape)}}, {"kind": "discrete", "n": 4}
    )


def network(layers, *shape):
    return network_for(agent_config_from_wire({"model": {"layers": layers}}), schema(*shape))


@pytest.mark.parametrize("layers", [[{"dense": 16}, "relu"], []])
@pytest.mark.parametrize("shape", [(6,), (3, 2), (2, 3, 5)])
def test_a_dense_model_takes_observations_of_any_rank(layers, shape):
    built = network(layers, *shape)

    assert built.input_shape == (shape if len(shape) == 3 else (6,))
    assert built.output_shape == (4,)


def test_planes_reach_a_model_that_wants_them_as_they_are():
    built = network(["flatten", {"dense": 16}], 2, 3, 5)

    assert built.n_params == 30 * 16 + 16 + 16 * 4 + 4
    assert built.n_params == network([{"dense": 16}], 2, 3, 5).n_params


def test_the_last_actions_widen_the_input_and_are_counted():
    wide = agent_config_from_wire({"dqn": {"last_actions": 3, "frame_stack": 2}})
    narrow = agent_config_from_wire({"dqn": {"frame_stack": 2}})
    limits = LimitsConfig(agent_memory_bytes=2**30)

    assert network_for(wide, schema(6)).input_shape == (2 * 6 + 3 * 4,)
    assert network_for(wide, schema(5, 5, 2)).input_shape == (5, 5, 2 * 2 + 3 * 4)
    more, less = (estimate(config, schema(6), limits) for config in (wide, narrow))
    assert more.parameters - less.parameters == 12 * 128
    assert sum(more.memory.values()) > sum(less.memory.values())


def test_noise_that_no_layer_has_cannot_explore():
    noisy = {"exploration": {"kind": "noisy"}, "model": {"layers": [{"noisy_dense": 8}, "relu"]}}

    assert network_for(agent_config_from_wire(noisy), schema(6)).output_shape == (4,)
    with pytest.raises(ModelError, match="noisy_dense"):
        network_for(agent_config_from_wire({**noisy, "model": {}}), schema(6))
