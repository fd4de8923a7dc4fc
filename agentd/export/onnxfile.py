"""A policy as an ONNX model: inputs by tensor name, the layers, the choice among legal actions.

Layouts: ``plain`` for anything that runs ONNX, ``godot-rl`` for the node of Godot RL Agents,
``unity`` for the inference node of ML-Agents (model version 3).
"""

import json
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd import __version__
from agentd.errors import UsageError
from agentd.export.graph import PolicyGraph, Shape
from agentd.export.onnxgraph import OnnxGraph
from agentd.extras import install_hint

LAYOUTS = ("plain", "godot-rl", "unity")
PLAIN_OPSET, GAME_OPSET = 17, 15
IR_VERSION = 8
_ALL_LEGAL, _NEVER = 1, float(np.finfo(np.float32).min)
_FLOAT = np.dtype(np.float32)


def onnx_file(policy: PolicyGraph, layout: str = "plain") -> bytes:
    """Return the model. Raises UsageError where the layout cannot hold the policy, and where
    ``onnx`` is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise UsageError(f"--to onnx needs `{install_hint('onnx')}`") from None
    _refuse(policy, layout)
    opset = PLAIN_OPSET if layout == "plain" else GAME_OPSET
    model = _Model(policy, OnnxGraph(opset))
    {"plain": model.plain, "godot-rl": model.godot, "unity": model.unity}[layout]()
    graph = model.graph
    made = onnx.helper.make_graph(
        graph.nodes, policy.name, model.inputs, model.outputs, graph.constants
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    proto = onnx.helper.make_model(
        made, opset_imports=opsets, producer_name="agentd", producer_version=__version__
    )
    proto.ir_version = IR_VERSION
    told = {key: _text(value) for key, value in policy.facts.items()}
    onnx.helper.set_model_props(proto, told)
    onnx.checker.check_model(proto, full_check=True)
    data: bytes = proto.SerializeToString()
    return data


def output_names(policy: PolicyGraph) -> tuple[str, str]:
    """The names of values and actions: q and action, unless a tensor is called so."""
    taken = {t.name for t in policy.tensors}
    return _free("q", taken), _free("action", taken)


def mask_name(policy: PolicyGraph) -> str:
    """The name of the optional mask input."""
    return _free("mask", {t.name for t in policy.tensors})


def played_name(policy: PolicyGraph) -> str:
    """The name of the input with the last actions."""
    return _free("last_actions", {t.name for t in policy.tensors})


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _refuse(policy: PolicyGraph, layout: str) -> None:
    """Raise UsageError for what a game's inference node cannot feed or read."""
    if layout == "plain":
        return
    where = f"--for {layout}"
    if not policy.branches:
        raise UsageError(f"{where}: want an agent that chooses actions, got a network of numbers")
    if policy.numbers:
        raise UsageError(f"{where}: its node takes no bins for continuous actions; use --to onnx")
    if policy.last_actions:
        n = policy.last_actions
        raise UsageError(f"{where}: its node feeds no last actions, and this agent sees {n}")
    if layout == "godot-rl" and policy.stack > 1:
        raise UsageError(f"{where}: its node feeds one row, and this agent sees {policy.stack}")
    if any(matrix.small is not None for matrix in policy.matrices):
        raise UsageError(f"{where}: no int8 there; its engine has a quantiser of its own")
    if layout == "unity":
        deep = [t.name for t in policy.tensors if len(t.shape) > 3]
        if deep:
            raise UsageError(f"{where}: want tensors of at most 3 sizes, {deep[0]} has 4")


class _Model:
    """The inputs and outputs of a layout, around the layers."""

    def __init__(self, policy: PolicyGraph, graph: OnnxGraph) -> None:
        self.policy, self.graph = policy, graph
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def plain(self) -> None:
        policy, graph = self.policy, self.graph
        if policy.answer == "y":
            x = self._input("x", _FLOAT, policy.input_shape)
            self._output("y", graph.chain(policy.stages, x), _FLOAT, policy.stages[-1].gives)
            return
        lead = (policy.stack,) if policy.stack > 1 else ()
        names = [self._input(t.name, np.dtype(t.dtype), (*lead, *t.shape)) for t in policy.tensors]
        rows = [self._frames(name, t.size) for name, t in zip(names, policy.tensors, strict=True)]
        q, action = output_names(policy)
        values = graph.chain(policy.stages, self._features(rows))
        legal = self._mask(mask_name(policy), np.dtype(np.uint8), optional=True)
        self._output(q, values, _FLOAT, (policy.outputs,))
        chosen = self._choose(values, legal)
        self._output(action, chosen, np.dtype(np.int64), self._branches)
        if policy.numbers:
            name = _free("numbers", {t.name for t in policy.tensors})
            self._output(name, self._numbers(chosen), _FLOAT, (policy.heads,))

    def godot(self) -> None:
        policy, graph = self.policy, self.graph
        names = [self._input(t.name, _FLOAT, (t.size,)) for t in policy.tensors]
        rows = [self._frames(name, t.size) for name, t in zip(names, policy.tensors, strict=True)]
        state = self._input("state_ins", _FLOAT, ())
        values = graph.chain(policy.stages, self._features(rows))
        self._output("output", values, _FLOAT, (policy.outputs,))
        self._output("state_outs", state, _FLOAT, ())

    def unity(self) -> None:
        policy, graph = self.policy, self.graph
        rows = [self._sensor(i) for i in range(len(policy.tensors))]
        values = graph.chain(policy.stages, self._features(rows))
        legal = self._mask("action_masks", _FLOAT, optional=False)
        chosen = self._choose(values, legal)
        for name, constant in (("version_number", [3.0]), ("memory_size", [0.0])):
            self._constant(name, np.array(constant, np.float32))
        sizes = np.array([policy.branches], np.float32)
        self._constant("discrete_action_output_shape", sizes)
        for name in ("discrete_actions", "deterministic_discrete_actions"):
            self._output(name, chosen, np.dtype(np.int64), self._branches)

    @property
    def _branches(self) -> Shape:
        return (len(self.policy.branches),)

    def _sensor(self, i: int) -> str:
        """Add ``obs_i``; return its frames (batch, K, size), an image's channels last again."""
        tensor, stack = self.policy.tensors[i], self.policy.stack
        shape = tensor.shape or (1,)
        if len(shape) < 3:
            fed = (stack * shape[0], *shape[1:])
            return self._frames(self._input(f"obs_{i}", _FLOAT, fed), tensor.size)
        height, width, channels = shape
        name = self._input(f"obs_{i}", _FLOAT, (stack * channels, height, width))
        frames = self.graph.view(name, (stack, channels, height, width))
        return self._frames(self.graph.add("Transpose", frames, perm=[0, 1, 3, 4, 2]), tensor.size)

    def _frames(self, name: str, size: int) -> str:
        """Return an input as float32 (batch, K, size)."""
        return self.graph.view(self.graph.add("Cast", name, to=1), (self.policy.stack, size))

    def _features(self, rows: list[str]) -> str:
        """Join tensors (batch, K, size), and the last actions, as the network takes them."""
        policy, graph = self.policy, self.graph
        channels = policy.row // policy.places
        x = rows[0] if len(rows) == 1 else graph.add("Concat", *rows, axis=2)
        if policy.places > 1:
            x = graph.view(x, (policy.stack, policy.places, channels))
            x = graph.add("Transpose", x, perm=[0, 2, 1, 3])
        x = graph.view(x, (policy.places, policy.stack * channels))
        if policy.last_actions:
            x = graph.add("Concat", x, self._played(), axis=2)
        return graph.view(x, policy.input_shape)

    def _played(self) -> str:
        """Add the input with the last actions; return them as ones and zeros at every place."""
        policy, graph = self.policy, self.graph
        shape = (policy.last_actions, len(policy.branches))
        name = self._input(played_name(policy), np.dtype(np.int64), shape)
        parts = []
        for b, width in enumerate(policy.branches):
            column = graph.cut(name, 2, b, b + 1)
            numbers = graph.constant(np.arange(width).reshape(1, 1, width))
            parts.append(graph.add("Cast", graph.add("Equal", column, numbers), to=1))
        ones = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=2)
        flat = graph.view(ones, (1, policy.last_actions * sum(policy.branches)))
        if policy.places == 1:
            return flat
        everywhere = graph.constant(np.ones((1, policy.places, 1), np.float32))
        return graph.add("Mul", flat, everywhere)

    def _mask(self, name: str, dtype: np.dtype[Any], *, optional: bool) -> str:
        """Add the mask input (batch, A), 1 = legal; return it as booleans."""
        self._input(name, dtype, (self.policy.outputs,))
        if optional:  # an initialiser of an input's name is its default
            legal = np.full((1, self.policy.outputs), _ALL_LEGAL, dtype)
            self.graph.constant(legal, name)
        return self.graph.add("Cast", name, to=9)

    def _choose(self, values: str, legal: str) -> str:
        """Return the first best legal action of each branch, (batch, branches) int64."""
        graph, at, parts = self.graph, 0, []
        never = graph.constant(np.array(_NEVER, np.float32))
        masked = graph.add("Where", legal, values, never)
        for width in self.policy.branches:
            part = masked
            if len(self.policy.branches) > 1:
                part = graph.cut(masked, 1, at, at + width)
            parts.append(graph.add("ArgMax", part, axis=1, keepdims=1))
            at += width
        return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)

    def _numbers(self, chosen: str) -> str:
        """Return the numbers (batch, H) that actions (batch, branches) stand for."""
        graph, rows = self.graph, self.policy.numbers
        if len(self.policy.branches) == 1:
            table = graph.constant(np.array(rows, np.float32))
            return graph.view(graph.add("Gather", table, chosen, axis=0), (len(rows[0]),))
        parts = [
            graph.add(
                *("Gather", graph.constant(np.array(row, np.float32))),
                graph.cut(chosen, 1, at, at + 1),
                axis=0,
            )
            for at, row in enumerate(rows)
        ]
        return graph.add("Concat", *parts, axis=1)

    def _input(self, name: str, dtype: np.dtype[Any], shape: Shape) -> str:
        self.inputs.append(_info(name, dtype, ("batch", *shape)))
        return name

    def _output(self, name: str, value: str, dtype: np.dtype[Any], shape: Shape) -> None:
        if prod(shape) == self.policy.outputs and len(shape) == 1 and dtype == _FLOAT:
            value = self.graph.view(value, shape)  # states the size where inference lost it
        self.graph.add("Identity", value, name=name)
        self.outputs.append(_info(name, dtype, ("batch", *shape)))

    def _constant(self, name: str, values: NDArray[np.float32]) -> None:
        self.graph.add("Identity", self.graph.constant(values), name=name)
        self.outputs.append(_info(name, values.dtype, values.shape))


def _info(name: str, dtype: np.dtype[Any], shape: tuple[str | int, ...]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), list(shape))
