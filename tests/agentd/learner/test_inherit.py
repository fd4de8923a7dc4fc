"""What an agent begins with that is made of another one: what it knew, in its own layout."""

import numpy as np
import pytest

from agentd.assembly.learner import learner_for
from agentd.assembly.network import network_for
from agentd.assembly.rows import format_of
from agentd.config import agent_config_from_wire
from agentd.engine.network import Pass
from agentd.engine.network.growth import CannotGrow
from agentd.engine.network.weights import join, split
from agentd.engine.numpy_backend import NumPyBackend
from agentd.learner.checkpoints import checkpoint_facts
from agentd.learner.inherit import AgentShape, first_state, grown_network
from agentd.learner.updater import Progress
from agentd.memory.mapped_file import RingCounters
from agentd.protocol.schema import Schema
from agentd.store import Checkpoint, Exploring

BACKEND = NumPyBackend()
RNG = np.random.default_rng(3)
COUNTERS = RingCounters(head=900, env_steps=800, episodes=7, return_sum=3.5, masks_since=2)


def schema_of(n=3, **tensors) -> Schema:
    wire = {k: {"dtype": d, "shape": list(shape)} for k, (d, shape) in tensors.items()}
    kind = "discrete" if isinstance(n, int) else "multi_discrete"
    return Schema.from_wire(wire, {"kind": kind, "n": n})


OLD = schema_of(m=("float32", (3,)), z=("float32", (2,)))
# one sensor more in front, one longer vector, one action more
NEW = schema_of(4, eye=("uint8", (2,)), m=("float32", (4,)), z=("float32", (2,)))
LAYERS = {"layers": [{"dense": 8}, "relu", {"dense": 6}, "relu"]}
CONFIGS = {
    "dqn": {},
    "dueling": {"model": LAYERS | {"dueling": True}},
    "categorical": {"dqn": {"distribution": "categorical", "categorical": {"atoms": 5}}},
    "quantile": {
        "dqn": {"distribution": "quantile", "quantile": {"atoms": 3}},
        "model": LAYERS | {"dueling": True},
    },
    "implicit": {
        "dqn": {"distribution": "implicit", "munchausen": True},
        "model": LAYERS | {"dueling": True},
    },
    "noisy": {"dqn": {"noisy": True}, "exploration": {"kind": "noisy"}},
    "normalised": {"dqn": {"normalize_observations": True}, "reward": {"normalize": True}},
    "averaged": {"dqn": {"average": 50, "normalize_observations": True}},
    "prioritised": {"dqn": {"prioritized": True}},
    "stacked": {"dqn": {"frame_stack": 2, "last_actions": 2}},
    "pqn": {
        "learner": "pqn",
        "model": {"layers": ["normalize", {"dense": 8}, "relu"]},
        "pace": {"train_every": 16, "updates": 4},
    },
    "stream_q": {"learner": "stream_q", "pace": {"train_every": 8, "updates": 8}},
    "supervised": {"learner": "supervised"},
    "sgd": {"optimizer": {"name": "sgd"}},
}


def config_of(name: str):
    return agent_config_from_wire({"model": LAYERS} | CONFIGS[name])


def learned(shape: AgentShape) -> Checkpoint:
    """A checkpoint in which every number is one that nobody begins with."""
    network = network_for(*shape)
    learner = learner_for(shape.config, network, BACKEND, format_of(*shape))
    arrays, scalars = learner.get_state()
    for name, array in arrays.items():
        if name in ("params", "target", "online") or name.startswith(("optimizer.", "input.")):
            arrays[name] = array + RNG.uniform(0.1, 0.3, array.shape).astype(array.dtype)
    scalars["updates"] = 50
    for group in (scalars, scalars.get("inputs", {})):
        if "observed" in group:
            group["observed"] = 5_000
    facts = checkpoint_facts(*shape, scalars, Progress(9, 0), COUNTERS, Exploring())
    weights = split(network, arrays.pop("params"))
    return Checkpoint("one", 50, facts, weights, arrays)


def outputs(shape: AgentShape, params, x) -> np.ndarray:
    """The values (B, A) that an acting network gives, which an eval session is answered by."""
    network = network_for(*shape, acting=True)
    return np.array(Pass(network, BACKEND, len(x)).forward(BACKEND.asarray(params), x))


def features(shape: AgentShape, raw: dict[str, np.ndarray], played) -> np.ndarray:
    """The inputs (B, D) of rows by tensor name, (B, K, size), and of actions (B, L, 1)."""
    format = format_of(*shape)
    rows = np.concatenate(
        [
            np.ascontiguousarray(raw[t.name].astype(t.dtype)).reshape(-1, t.features).view(np.uint8)
            for t in format.tensors
        ],
        axis=1,
    )
    x = np.empty((len(rows) // format.stack, format.features), np.float32)
    format.decode(np.ascontiguousarray(rows), x, played if format.last_actions else None)
    return x


@pytest.mark.parametrize("name", CONFIGS)
def test_an_agent_with_a_sensor_and_an_action_more_values_as_before(name):
    config = config_of(name)
    old, new = AgentShape(config, OLD), AgentShape(config, NEW)
    found, stack = learned(old), format_of(*old).stack

    first = first_state(new, Exploring(), None, found, old)

    raw = {
        "m": RNG.normal(size=(32, stack, 4)),
        "z": RNG.normal(size=(32, stack, 2)),
        "eye": RNG.integers(0, 255, (32, stack, 2)),
    }
    played = RNG.integers(-1, 3, (32, format_of(*old).last_actions, 1), dtype=np.int32)
    params = join(network_for(*new), first.weights)
    known = join(network_for(*old), found.weights)
    before = outputs(old, known, features(old, raw | {"m": raw["m"][..., :3]}, played))
    after = outputs(new, params, features(new, raw, played))
    np.testing.assert_allclose(after[:, :3], before, rtol=1e-4, atol=1e-5)
    if name != "categorical":  # a mean of logits there, near the mean of the values
        np.testing.assert_allclose(after[:, 3], before.mean(axis=1), rtol=1e-4, atol=1e-5)
        assert (after.argmax(axis=1) == before.argmax(axis=1)).all()
    raw["eye"] = RNG.integers(0, 255, (32, stack, 2))
    raw["m"][..., 3] += 5
    blind = outputs(new, params, features(new, raw, played))
    np.testing.assert_allclose(blind, after, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_learner_goes_on_from_what_was_carried(name):
    """Its state is a whole one; target, moments and statistics are the old ones."""
    config = config_of(name)
    old, new = AgentShape(config, OLD), AgentShape(config, NEW)
    found = learned(old)

    first = first_state(new, Exploring(), None, found, old)

    network = network_for(*new)
    learner = learner_for(config, network, BACKEND, format_of(*new))
    arrays = {**first.state, "params": join(network, first.weights)}
    learner.set_state(arrays, first.facts["learner"])
    assert (learner.updates, first.step) == (50, 50)
    assert first.counters == COUNTERS._replace(head=0, masks_since=-1)
    assert first.facts["progress"] == [-1, 0]
    grown = grown_network(old, new)
    for key, array in found.state.items():
        if key in ("target", "online"):
            assert (arrays[key] == grown.params(array)).all()
        if key.startswith("optimizer."):
            assert arrays[key].shape == (network.n_trainable,)
            assert sorted(arrays[key][arrays[key] != 0]) == sorted(array)
        if key == "reward.moments":
            assert (arrays[key] == array).all()
    if "input.moments" in found.state:
        was, now = found.state["input.moments"], arrays["input.moments"]
        kept = [2, 3, 4, 6, 7]
        assert (now[0, kept] == was[0]).all()
        np.testing.assert_allclose(now[1, kept] / 1_000, was[1] / 5_000)  # the variances
        assert (now[0, [0, 1, 5]] == 0).all()
        assert (now[1, [0, 1, 5]] / 1_000 == 1).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_schema_carries_every_number(name):
    shape = AgentShape(config_of(name), OLD)
    found = learned(shape)

    first = first_state(shape, Exploring(0.25), None, found, shape)

    assert {k: v.tobytes() for k, v in first.weights.items()} == {
        k: v.tobytes() for k, v in found.weights.items()
    }
    if config_of(name).exploration.kind == "epsilon":
        assert first.facts["epsilon"] == 0.25
    for key, array in found.state.items():
        if key.startswith(("optimizer.", "target", "online", "input.")):
            assert first.state[key].tobytes() == array.tobytes()


def test_one_that_begins_to_average_goes_on_from_what_was_played():
    newest = agent_config_from_wire({"model": LAYERS, "dqn": {"average": None}})
    old = AgentShape(newest, OLD)
    averaged = agent_config_from_wire({"model": LAYERS, "dqn": {"average": 50}})
    new, found = AgentShape(averaged, OLD), learned(old)

    first = first_state(new, Exploring(), None, found, old)

    played = join(network_for(*new), first.weights)
    assert (first.state["online"] == played).all()
    assert (played == grown_network(old, new).params(join(network_for(*old), found.weights))).all()


def test_what_only_plays_has_weights_alone():
    config = agent_config_from_wire({"learner": "none", "model": LAYERS})
    old, new = AgentShape(config, OLD), AgentShape(config, NEW)
    anew = first_state(old, Exploring(), None)
    found = Checkpoint("one", 7, anew.facts, anew.weights, {})

    first = first_state(new, Exploring(), None, found, old)

    assert (first.step, first.facts, first.state) == (7, {"learner": "none"}, {})
    assert join(network_for(*new), first.weights).any()


def test_a_smaller_schema_drops_what_is_gone():
    config = agent_config_from_wire({"model": LAYERS | {"dueling": True}})
    old, new = AgentShape(config, OLD), AgentShape(config, schema_of(2, z=("float32", (2,))))
    found = learned(old)
    x = np.concatenate([np.zeros((8, 3)), RNG.normal(size=(8, 2))], axis=1).astype(np.float32)

    first = first_state(new, Exploring(), None, found, old)

    before = outputs(old, join(network_for(*old), found.weights), x)
    after = outputs(new, join(network_for(*new), first.weights), x[:, 3:])
    np.testing.assert_allclose(after, before[:, :2], rtol=1e-4, atol=1e-5)


IMAGE = schema_of(view=("uint8", (8, 8, 2)))
CONV = {"layers": [{"conv2d": {"channels": 4, "kernel": 3}}, "relu", "flatten", {"dense": 8}]}


@pytest.mark.parametrize(
    ("model", "old", "new", "named"),
    [
        (CONV, IMAGE, schema_of(view=("uint8", (8, 8, 3))), "observation view: its shape was"),
        (CONV, IMAGE, schema_of(sight=("uint8", (8, 8, 2))), "model layer 1, conv2d"),
        (LAYERS, IMAGE, schema_of(view=("uint8", (8, 9, 2))), "give it another name"),
        ({"layers": ["layer_norm", {"dense": 8}]}, OLD, NEW, "model layer 1, layer_norm"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(model, old, new, named):
    config = agent_config_from_wire({"model": model})
    with pytest.raises(CannotGrow, match=named):
        grown_network(AgentShape(config, old), AgentShape(config, new))


def test_an_image_keeps_its_layers_for_an_action_more():
    config = agent_config_from_wire({"model": CONV})
    more = schema_of(5, view=("uint8", (8, 8, 2)))
    old, new = AgentShape(config, IMAGE), AgentShape(config, more)
    found, x = learned(old), RNG.normal(size=(4, 8, 8, 2)).astype(np.float32)

    first = first_state(new, Exploring(), None, found, old)

    before = outputs(old, join(network_for(*old), found.weights), x)
    after = outputs(new, join(network_for(*new), first.weights), x)
    np.testing.assert_allclose(after[:, :3], before, rtol=1e-4, atol=1e-4)


def test_an_image_that_dense_layers_read_may_get_a_sensor_beside_it():
    config = agent_config_from_wire({"model": LAYERS})
    more = schema_of(a=("float32", ()), view=("uint8", (8, 8, 2)))
    old, new = AgentShape(config, IMAGE), AgentShape(config, more)
    found, x = learned(old), RNG.normal(size=(4, 8, 8, 2)).astype(np.float32)
    wide = np.concatenate([RNG.normal(size=(4, 1)), x.reshape(4, -1)], axis=1).astype(np.float32)

    first = first_state(new, Exploring(), None, found, old)

    before = outputs(old, join(network_for(*old), found.weights), x)
    after = outputs(new, join(network_for(*new), first.weights), wide)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
