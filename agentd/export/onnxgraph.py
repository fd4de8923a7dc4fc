"""Layers as ONNX nodes, images transposed around each window."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Window
from agentd.export.graph import (
    Activate,
    Affine,
    Convolution,
    Expect,
    Keep,
    Lookup,
    Matrix,
    Merge,
    Plus,
    PolicyStage,
    Pooling,
    Rescale,
    Shape,
    Standardize,
    Vector,
    View,
)

_SAME_NAME = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus"}
_LAYER_NORM_SINCE = 17
_GELU_A, _GELU_B = 0.7978845608028654, 0.044715  # sqrt(2 / pi)
_EXP_LIMIT = 10.0
_ZERO = 128
"""What stands for 0 in int8 weights that meet rounded inputs: as bytes without a sign, since
onnxruntime's product of signed ones with unsigned inputs overflows on processors without VNNI."""


class OnnxGraph:
    """The nodes so far; every method adds some and returns the name of their output."""

    def __init__(self, opset: int) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._opset = opset
        self._names: set[str] = set()

    def chain(self, stages: Sequence[PolicyStage], x: str) -> str:
        """Add all layers behind ``x`` (batch, ...)."""
        kept: list[str] = []
        for stage in stages:
            match stage.op:
                case Keep():
                    kept.append(x)
                case Plus():
                    x = self.add("Add", x, kept.pop())
                case op:
                    x = self._layer(op, stage, x)
        return x

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add one node; its output has the name given, or one of its own."""
        from onnx import helper

        name = name or f"agentd/{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, values: NDArray[Any], name: str = "") -> str:
        """Add a constant under the name given, or one of its own."""
        from onnx import numpy_helper

        name = name or f"agentd/constant/{len(self.constants)}"
        if name not in self._names:
            self._names.add(name)
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def view(self, x: str, shape: Shape) -> str:
        """Return ``x`` as (batch, *shape)."""
        return self.add("Reshape", x, self.constant(np.array([-1, *shape], np.int64)))

    def cut(self, x: str, axis: int, start: int, stop: int) -> str:
        """Return the entries from ``start`` to ``stop`` along an axis."""
        places = ([start], [stop], [axis])
        return self.add("Slice", x, *(self.constant(np.array(p, np.int64)) for p in places))

    def _layer(self, op: Any, stage: PolicyStage, x: str) -> str:
        match op:
            case Affine():
                matrix = self._matrix(op.w, op.w.values.shape, 1)
                given = [self._rounded(op.w, x), matrix, *self._bias(op.b)]
                return self._activate(op.act, self.add("Gemm", *given))
            case Convolution():
                return self._convolution(op, stage, x)
            case Lookup():
                return self._lookup(op, x)
            case Pooling():
                y = self._window("MaxPool" if op.largest else "AveragePool", x, op.window)
                return self.view(y, stage.gives)
            case Activate():
                return self._activate(op.act, x, op.slope)
            case Rescale():
                return self._rescale(op, stage, x)
            case Standardize():
                return self._standardize(op, x)
            case Merge():
                return self._merge(op, stage, x)
            case Expect():
                return self._expect(op, stage, x)
            case View():
                return self.view(x, stage.gives)
        raise AssertionError(f"no such layer: {op}")

    def _activate(self, act: str, x: str, slope: float = 0.0) -> str:
        match act:
            case "identity":
                return x
            case "leaky_relu":
                return self.add("LeakyRelu", x, alpha=slope)
            case "exp":
                return self.add("Exp", self._clip(x, _EXP_LIMIT))
            case "gelu":
                return self._gelu(x)
        return self.add(_SAME_NAME[act], x)

    def _gelu(self, x: str) -> str:
        cube = self.add("Mul", self.add("Mul", x, x), x)
        inner = self.add("Add", x, self.add("Mul", cube, self._number(_GELU_B)))
        curve = self.add("Tanh", self.add("Mul", inner, self._number(_GELU_A)))
        half = self.add("Mul", x, self._number(0.5))
        return self.add("Mul", half, self.add("Add", curve, self._number(1)))

    def _rescale(self, op: Rescale, stage: PolicyStage, x: str) -> str:
        y = x
        parts = (("Sub", op.shift, 0), ("Mul", op.scale, 1), ("Add", op.bias, 0))
        for kind, vector, nothing in parts:
            values = vector.values
            if (values != nothing).any():
                whole = values.size > stage.gives[-1]
                shape = stage.gives if whole else values.shape
                y = self.add(kind, y, self.constant(values.reshape(shape), vector.name))
        return y if op.limit is None else self._clip(y, op.limit)

    def _standardize(self, op: Standardize, x: str) -> str:
        gain, bias = self._vector(op.gain), self._vector(op.bias)
        if self._opset >= _LAYER_NORM_SINCE:
            return self.add("LayerNormalization", x, gain, bias, axis=-1, epsilon=op.eps)
        away = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        variance = self.add("ReduceMean", self.add("Mul", away, away), axes=[-1])
        root = self.add("Sqrt", self.add("Add", variance, self._number(op.eps)))
        return self.add("Add", self.add("Mul", self.add("Div", away, root), gain), bias)

    def _merge(self, op: Merge, stage: PolicyStage, x: str) -> str:
        actions, at = sum(op.branches), 1
        each = self.view(x, (op.atoms, 1 + actions))
        value, parts = self.cut(each, 2, 0, 1), []
        for width in op.branches:
            part = self.cut(each, 2, at, at + width)
            parts.append(self.add("Sub", part, self.add("ReduceMean", part, axes=[2])))
            at += width
        joined = parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=2)
        return self.view(self.add("Add", joined, value), stage.gives)

    def _expect(self, op: Expect, stage: PolicyStage, x: str) -> str:
        each = self.view(x, (op.atoms, *stage.gives))
        if op.low is None or op.high is None:
            return self.add("ReduceMean", each, axes=[1], keepdims=0)
        share = self.add("Softmax", each, axis=1)
        returns = np.linspace(op.low, op.high, op.atoms, dtype=np.float32).reshape(1, -1, 1)
        each = self.add("Mul", share, self.constant(returns))
        return self.add("ReduceSum", each, self.constant(np.array([1], np.int64)), keepdims=0)

    def _lookup(self, op: Lookup, x: str) -> str:
        rows = self.add("Cast", x, to=7)
        zero = self.constant(np.array(0, np.int64))
        table = self._matrix(op.w, op.w.values.shape, 1)
        found = self.add("Gather", table, self.add("Max", rows, zero))
        there = self.add("Cast", self.add("GreaterOrEqual", rows, zero), to=1)
        last = self.constant(np.array([-1], np.int64))
        counted = self.add("Mul", found, self.add("Unsqueeze", there, last))
        axes = self.constant(np.array([1], np.int64))
        y = self.add("ReduceSum", counted, axes, keepdims=0)
        return self.add("Add", y, self._vector(op.b)) if op.b else y

    def _convolution(self, op: Convolution, stage: PolicyStage, x: str) -> str:
        window, channels = op.window, stage.gives[-1]
        size = (*window.kernel, window.channels, channels)
        given = [self._matrix(op.w, size, 0, (3, 2, 0, 1)), *self._bias(op.b)]
        return self._activate(op.act, self._window("Conv", self._rounded(op.w, x), window, given))

    def _window(self, op: str, x: str, window: Window, given: Sequence[str] = ()) -> str:
        first = self.add("Transpose", x, perm=[0, 3, 1, 2])
        pads = [*window.padding, *window.padding]
        kernel, strides = list(window.kernel), list(window.stride)
        y = self.add(op, first, *given, kernel_shape=kernel, strides=strides, pads=pads)
        return self.add("Transpose", y, perm=[0, 2, 3, 1])

    def _matrix(self, w: Matrix, shape: Shape, axis: int, order: tuple[int, ...] = ()) -> str:
        """Return a matrix in another shape and order of axes; ``axis`` is then its columns'."""

        def placed(values: NDArray[Any]) -> NDArray[Any]:
            values = values.reshape(shape)
            return values.transpose(order) if order else values

        if w.small is None:
            return self.constant(placed(w.values), w.name)
        if w.inputs is not None:
            scale = self.constant(w.small.scale, f"{w.name}.scale")
            zeros = self.constant(np.full(w.small.scale.shape, _ZERO, np.uint8), f"{w.name}.zero")
            ints = self.constant(placed((w.small.ints + np.int16(_ZERO)).astype(np.uint8)), w.name)
            return self.add("DequantizeLinear", ints, scale, zeros, axis=axis)
        ints = self.add("Cast", self.constant(placed(w.small.ints), w.name), to=1)
        along = tuple(-1 if at == axis else 1 for at in range(len(shape)))
        scale = self.constant(w.small.scale.reshape(along), f"{w.name}.scale")
        return self.add("Mul", ints, scale)  # DequantizeLinear lets runtimes round activations too

    def _rounded(self, w: Matrix, x: str) -> str:
        """Return ``x`` in eight bits and back, where that is how it meets the weights."""
        if w.inputs is None:
            return x
        given = (self._number(w.inputs.scale), self.constant(np.array(w.inputs.zero, np.uint8)))
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, *given), *given)

    def _vector(self, vector: Vector) -> str:
        return self.constant(vector.values, vector.name)

    def _bias(self, b: Vector | None) -> list[str]:
        return [] if b is None else [self._vector(b)]

    def _number(self, value: float | np.float32) -> str:
        return self.constant(np.array(value, np.float32))

    def _clip(self, x: str, limit: float) -> str:
        return self.add("Clip", x, self._number(-limit), self._number(limit))
