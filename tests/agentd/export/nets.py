"""Agents of every kind, with random weights: what exported files are compared on."""

import importlib.util
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.network import network_for
from agentd.config import AgentConfig, load_preset, preset_names
from agentd.config.convert import convert, parse_layer
from agentd.config.memory import remembering
from agentd.engine.quantization import quantize
from agentd.export.build import agent_policy
from agentd.export.graph import PolicyGraph
from agentd.export.probe import Probe, inputs_of, make_probe
from agentd.games import make
from agentd.protocol.schema import Schema

VECTOR = {"obs": {"dtype": "float32", "shape": [6]}}
SEVERAL = {
    "far": {"dtype": "uint8", "shape": [3, 2]},
    "near": {"dtype": "float32", "shape": [4]},
    "side": {"dtype": "int8", "shape": []},
}
IMAGE = {"board": {"dtype": "uint8", "shape": [7, 6, 3]}}
PLANES = {"grid": {"dtype": "uint8", "shape": [3, 5, 6]}}
INDICES = {"on": {"dtype": "int32", "shape": [5]}}
ONE: dict[str, Any] = {"kind": "discrete", "n": 3}
THREE: dict[str, Any] = {"kind": "multi_discrete", "n": [3, 2, 4]}
NETS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "plain": ("model: {layers: [{dense: 24}, relu, {dense: 16}, tanh]}", VECTOR, ONE),
    "normalized": (
        "{model: {layers: [{dense: 24}, gelu, {dense: 16}, softplus]},"
        " dqn: {normalize_observations: true}}",
        VECTOR,
        ONE,
    ),
    "stacked": (
        "{model: {layers: [{dense: 24}, layer_norm, sigmoid]},"
        " dqn: {frame_stack: 3, last_actions: 2}}",
        SEVERAL,
        THREE,
    ),
    "dueling": (
        "model: {layers: [{dense: 24}, {leaky_relu: 0.05}], dueling: true}",
        SEVERAL,
        THREE,
    ),
    "c51": (
        "{model: {layers: [{dense: 24}, relu], dueling: true}, dqn: {distribution: categorical,"
        " categorical: {atoms: 11, low: -3, high: 7}}}",
        VECTOR,
        THREE,
    ),
    "quantile": (
        "{model: {layers: [{dense: 24}, relu]}, dqn: {distribution: quantile,"
        " quantile: {atoms: 9}}}",
        VECTOR,
        ONE,
    ),
    "implicit": (
        "{model: {layers: [{dense: 12}, relu, {dense: 9}, layer_norm, sigmoid], dueling: true},"
        " dqn: {distribution: implicit, implicit: {choices: 5, cosines: 7}}}",
        VECTOR,
        THREE,
    ),
    "noisy": (
        "{model: {layers: [{dense: 24}, relu], dueling: true}, dqn: {noisy: true},"
        " exploration: {kind: noisy}}",
        VECTOR,
        ONE,
    ),
    "channels_last": (
        "model: {layers: [channels_last, {conv2d: {channels: 5, kernel: 3, padding: same}}, relu,"
        " flatten, {dense: 12}, relu]}",
        PLANES,
        ONE,
    ),
    "convolution": (
        "{model: {layers: [scale, {conv2d: {channels: 8, kernel: 3, padding: same}}, relu,"
        " {max_pool2d: 2}, {conv2d: {channels: 4, kernel: [1, 2], stride: [2, 1], padding: 1}},"
        " {avg_pool2d: {kernel: 2, stride: 1, padding: 1}}, flatten, {dense: 12}, relu]},"
        " dqn: {frame_stack: 2}}",
        IMAGE,
        THREE,
    ),
    "planes": (
        "{model: {layers: [{conv2d: {channels: 8, kernel: 3}}, batch_norm, relu, global_avg_pool,"
        " {residual: {layers: [{dense: 8}, relu, {residual: {layers: [{dense: 8}, exp]}}]}}]},"
        " dqn: {last_actions: 2, frame_stack: 2}}",
        IMAGE,
        ONE,
    ),
    "joint": (
        "model: {layers: [{dense: 24}, relu]}",
        VECTOR,
        {"kind": "box", "low": [-1.0, 0.0], "high": [0.5, 3.0]},
    ),
    "decoupled": (
        "{model: {layers: [{dense: 24}, relu]}, actions: {bins: 5}, dqn: {last_actions: 1}}",
        VECTOR,
        {"kind": "mixed", "heads": [{"low": -2.0, "high": 2.0}, {"n": 3}, {"low": 0, "high": 1}]},
    ),
    "lookup": ("model: {layers: [{embedding_bag: {rows: 40, units: 12}}, relu]}", INDICES, ONE),
}
GYMNASIUM: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    f"gym:{name}": ({"obs": {"dtype": kind, "shape": shape}}, {"kind": "discrete", "n": n})
    for name, kind, shape, n in (
        ("Acrobot-v1", "float32", [6], 3),
        ("CartPole-v1", "float32", [4], 2),
        ("LunarLander-v3", "float32", [8], 4),
        ("MinAtar/Breakout-v1", "uint8", [10, 10, 4], 3),
        ("MountainCar-v0", "float32", [2], 3),
    )
} | {
    "gym:Pendulum-v1": (
        {"obs": {"dtype": "float32", "shape": [3]}},
        {"kind": "box", "low": [-2.0], "high": [2.0]},
    )
}
"""What the presets' environments look like: Box2D cannot be imported under this suite's filters."""


FITTED = 1000


class Case(NamedTuple):
    """An agent as it would be exported, and what the engine says of some states.

    ``small`` is the agent in int8, fitted to states that are none of the probe's.
    """

    policy: PolicyGraph
    probe: Probe
    config: AgentConfig
    schema: Schema
    small: PolicyGraph
    flat: NDArray[np.float32]


def make_case(name: str, config: AgentConfig, schema: Schema, states: int) -> Case:
    """Return an agent with random weights, its biases and statistics well away from 0 and 1."""
    rng, network = np.random.default_rng(3), network_for(config, schema, acting=True)
    flat = network.init(rng)
    for slot in network.slots:
        at = slice(slot.offset, slot.end)
        if slot.name.endswith(("mean", "bias", ".b")):
            flat[at] = rng.normal(size=slot.size)
        if slot.name.endswith(("variance", "gain")):
            flat[at] = rng.uniform(0.3, 3, size=slot.size)
    facts = {"agentd": "test", "agent": name}
    policy = agent_policy(name, config, schema, flat, facts)
    seen = make_probe(config, schema, flat, FITTED, seed=1)
    rows = inputs_of(seen.format, seen.raw, seen.first, seen.played)
    weights = quantize(network, flat, rows.reshape(FITTED, *network.input_shape))
    small = agent_policy(name, config, schema, weights, facts)
    return Case(policy, make_probe(config, schema, flat, states), config, schema, small, flat)


def net_case(name: str, states: int) -> Case:
    """Return one of ``NETS``."""
    text, observation, action = NETS[name]
    config = convert(parse_layer(text, name, source="preset"), AgentConfig)
    return make_case(name, config, Schema.from_wire(observation, action), states)


def preset_cases(states: int) -> list[Case]:
    """Return the agent of every preset for games as its own game looks.

    Those that remember cannot be exported.
    """
    found = []
    for name in preset_names():
        preset = load_preset(name)
        if remembering(preset.agent.model.layers):
            continue
        game = preset.play.game
        looks = GYMNASIUM[game] if game in GYMNASIUM else _looks(game)
        schema = Schema.from_wire(*looks)
        found.append(make_case(name.replace("-", "_"), preset.agent, schema, states))
    return found


def _looks(game: str) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = make(game, 1, 0).spec
    tensors = {
        name: {"dtype": np.dtype(dtype).name, "shape": list(shape)}
        for name, (dtype, shape) in spec.observation.items()
    }
    n = spec.actions
    if isinstance(n, int):
        return tensors, {"kind": "discrete", "n": n}
    return tensors, {"kind": "multi_discrete", "n": list(n)}


def has_onnx() -> bool:
    """Whether ONNX models can be written here."""
    return importlib.util.find_spec("onnx") is not None
