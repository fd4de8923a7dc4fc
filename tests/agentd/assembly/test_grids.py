"""An agent that nobody configured has other defaults where its game shows a grid."""

import numpy as np
import pytest

from agentd.assembly.grids import fit_grid, is_grid
from agentd.assembly.network import network_for
from agentd.config import AgentConfig
from agentd.config.records import LimitsConfig
from agentd.engine.layers import ChannelsLast, Conv2d
from agentd.engine.optim.spec import OptimizerSpec
from agentd.protocol.schema import Schema
from agentd.server.agents.costs import settle


def schema(dtype, *shape, **more):
    tensors = {"planes": {"dtype": dtype, "shape": list(shape)}, **more}
    return Schema.from_wire(tensors, {"kind": "discrete", "n": 4})


def test_planes_come_before_cells_or_behind_them():
    first, last = (fit_grid(AgentConfig(), schema("uint8", *s)) for s in ((4, 8, 8), (10, 10, 4)))

    assert isinstance(first.model.layers[0], ChannelsLast)
    assert isinstance(last.model.layers[0], Conv2d)
    assert first.dqn.n_step == last.dqn.n_step == 1
    assert network_for(first, schema("uint8", 4, 8, 8)).output_shape == (4,)
    assert network_for(last, schema("uint8", 10, 10, 4)).output_shape == (4,)


@pytest.mark.parametrize(
    "other",
    [
        schema("float32", 4, 8, 8),  # numbers, not cells
        schema("uint8", 64),
        schema("uint8", 84, 84, 3),  # a picture
        schema("uint8", 4, 2, 8),
        schema("uint8", 4, 8, 8, more={"dtype": "float32", "shape": [2]}),
    ],
)
def test_other_rows_keep_the_defaults_of_all(other):
    assert not is_grid(other)
    assert fit_grid(AgentConfig(), other) == AgentConfig()


@pytest.mark.parametrize(
    "set_by_someone",
    [
        {"dqn": AgentConfig().dqn.__class__(gamma=0.9)},
        {"model": fit_grid(AgentConfig(), schema("uint8", 3, 6, 6)).model},
        {"exploration": AgentConfig().exploration.__class__(steps=10)},
    ],
)
def test_what_a_person_chose_stays(set_by_someone):
    config = AgentConfig(**set_by_someone)

    assert fit_grid(config, schema("uint8", 4, 8, 8)) == config


def test_what_has_nothing_to_do_with_it_may_be_set():
    config = AgentConfig(seed=7, optimizer=OptimizerSpec(lr=2e-4))

    found = fit_grid(config, schema("uint8", 4, 8, 8))

    assert (found.seed, found.optimizer) == (7, config.optimizer)
    assert found.dqn.n_step == 1
    assert np.prod(network_for(found, schema("uint8", 4, 8, 8)).input_shape) == 256


def test_an_agent_that_nobody_configured_is_made_so(tmp_path):
    grid = schema("uint8", 4, 8, 8)

    assert settle(tmp_path, AgentConfig(), grid, LimitsConfig()) == fit_grid(AgentConfig(), grid)
