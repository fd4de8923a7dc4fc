"""Every learner that a configuration can ask for, and its state before it has learned anything."""

import math
from pathlib import Path

import pytest

from agentd.assembly.learner import learner_for
from agentd.assembly.network import network_for
from agentd.assembly.ring import plan_ring
from agentd.assembly.rows import row_format as format_of
from agentd.assembly.weights import initial_weights
from agentd.config import ConfigError, agent_config_from_wire
from agentd.config.records import LimitsConfig
from agentd.engine.network.weights import join, split
from agentd.engine.numpy_backend import NumPyBackend
from agentd.protocol.schema import Schema
from agentd.store import read_checkpoint, write_checkpoint

SCHEMA = Schema.from_wire({"x": {"dtype": "float32", "shape": [4]}}, {"kind": "discrete", "n": 3})
LEARNERS = {
    "dqn": {},
    "pqn": {"pace": {"updates": 4}, "reward": {"normalize": True}},
    "stream_q": {"pace": {"updates": 4}, "model": {"layers": ["normalize", {"dense": 8}]}},
    "supervised": {},
}


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_checkpoint_of_an_untrained_learner_is_whole(tmp_path: Path, learner: str) -> None:
    """Windows, traces and open streams are arrays of no rows then."""
    config = agent_config_from_wire({"learner": learner, **LEARNERS[learner]})
    network = network_for(config, SCHEMA)
    one, two = (learner_for(config, network, NumPyBackend(), format_of(SCHEMA)) for _ in range(2))
    arrays, scalars = one.get_state()
    params = arrays.pop("params")
    assert params.tobytes() == initial_weights(config, network).tobytes()

    write_checkpoint(
        tmp_path / "c", 0, {"learner": scalars}, split(network, params), arrays, keep=1
    )
    found = read_checkpoint(tmp_path / "c")
    assert found is not None
    state = {**found.state, "params": join(network, found.weights)}
    two.set_state(state, found.facts["learner"])

    again, numbers = two.get_state()
    assert numbers == scalars
    assert {name: a.tobytes() for name, a in again.items()} == {
        name: a.tobytes() for name, a in state.items()
    }


VARIANTS = [
    *((learner, {}) for learner in LEARNERS),
    ("dqn", {"distribution": "quantile"}),
    ("dqn", {"distribution": "implicit", "munchausen": True}),
    ("dqn", {"normalize_observations": True}),
]


@pytest.mark.parametrize(("learner", "options"), VARIANTS)
def test_nothing_is_measured_before_the_first_update(learner: str, options: dict) -> None:
    """Neither memory that nobody wrote nor a zero that looks like a loss: NaN, null in `stats`."""
    more = {"dqn": options} if options else {}
    config = agent_config_from_wire({"learner": learner, **LEARNERS[learner], **more})
    network = network_for(config, SCHEMA)
    one, two = (learner_for(config, network, NumPyBackend(), format_of(SCHEMA)) for _ in range(2))
    two.set_state(*one.get_state())
    for learned in (one, two):
        figures = learned.stats
        measured = figures.keys() & {"loss", "q_mean", "td_abs", "grad_norm", "accuracy"}
        assert len(measured) >= 2
        assert all(math.isnan(figures[name]) for name in measured), figures
        assert figures["updates"] == 0


def test_a_horizon_gives_rows_a_time_and_the_learner_a_discount() -> None:
    """The same file as ever without it; with it γ follows from the seconds between rows."""
    config = agent_config_from_wire({"dqn": {"horizon_s": 2.0}})
    plain = agent_config_from_wire({})
    layouts = [plan_ring(c, SCHEMA, LimitsConfig()).layout for c in (config, plain)]
    assert [getattr(layout, "elapsed", None) for layout in layouts] == [True, False]

    network = network_for(config, SCHEMA)
    given = config, network, NumPyBackend(), format_of(SCHEMA)
    assert learner_for(*given, dt_s=0.1).gamma == pytest.approx(math.exp(-0.05))
    assert learner_for(*given).gamma == pytest.approx(math.exp(-1 / 120))
    with pytest.raises(ConfigError, match="both say how far ahead"):
        agent_config_from_wire({"dqn": {"horizon_s": 2.0, "gamma": 0.9}})
