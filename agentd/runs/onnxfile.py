"""A trained network as an ONNX model: its layers as nodes, images transposed around each window."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Slot, Window
from agentd.engine.data.normalize import Normalizer
from agentd.engine.layers.activation import PlacedActivation
from agentd.engine.layers.conv import PlacedConv2d
from agentd.engine.layers.dense import PlacedDense
from agentd.engine.layers.dropout import PlacedDropout
from agentd.engine.layers.noisy import PlacedNoisyDense
from agentd.engine.layers.norm import FAR, PlacedBatchNorm, PlacedLayerNorm, PlacedNormalize
from agentd.engine.layers.pool import PlacedAvgPool2d, PlacedMaxPool2d
from agentd.engine.layers.scale import PlacedScale
from agentd.engine.layers.sequential import PlacedSequential
from agentd.engine.layers.shape import PlacedReshape
from agentd.engine.network import Network
from agentd.errors import UsageError
from agentd.extras import install_hint

OPSET = 20
IR_VERSION = 9
_NODES = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus"}


def onnx_bytes(network: Network, flat: NDArray[np.float32], normalizer: Normalizer) -> bytes:
    """Return the model: input ``x`` (B, *input_shape) as the data has it, output ``y``.

    Raises UsageError for a layer that has no ONNX form here, and where ``onnx`` is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise UsageError(f"--to onnx needs `{install_hint('onnx')}`") from None
    graph = _Graph(flat)
    last = graph.network(network, normalizer)
    floats = onnx.TensorProto.FLOAT
    graph.nodes.append(onnx.helper.make_node("Identity", [last], ["y"]))
    made = onnx.helper.make_graph(
        graph.nodes,
        "agentd",
        [onnx.helper.make_tensor_value_info("x", floats, ["B", *network.input_shape])],
        [onnx.helper.make_tensor_value_info("y", floats, ["B", *network.output_shape])],
        graph.constants,
    )
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(made, opset_imports=opsets, producer_name="agentd")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


class _Graph:
    """The nodes so far; every method adds some and returns the name of their output."""

    def __init__(self, flat: NDArray[np.float32]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._flat = flat

    def network(self, network: Network, normalizer: Normalizer) -> str:
        last = "x"
        if not normalizer.identity:
            for op, values in (("Sub", normalizer.shift), ("Mul", normalizer.scale)):
                shape = network.input_shape if values.size > 1 else (1,)
                last = self.add(op, last, self.constant(values.reshape(shape)))
        return self.layer(network.root, last)

    def layer(self, layer: Any, x: str) -> str:
        match layer:
            case PlacedSequential():
                for inner in layer.layers:
                    x = self.layer(inner, x)
                return x
            case PlacedDense():
                given = [x, self.slot(layer.w)]
                given += [self.slot(layer.b)] if layer.b else []
                return self.activation(layer.act, self.add("Gemm", *given))
            case PlacedNoisyDense():  # without noise: the means
                mu = self._read(layer.mu)
                given = [x, self.constant(mu[:-1]), self.constant(mu[-1])]
                return self.activation(layer.act, self.add("Gemm", *given))
            case PlacedScale():
                return self.add("Mul", x, self.constant(np.array(layer.factor, np.float32)))
            case PlacedConv2d():
                given = [self.constant(self._read(layer.w).transpose(3, 2, 0, 1))]
                given += [self.slot(layer.b)] if layer.b else []
                return self.activation(layer.act, self._window("Conv", x, layer.window, given))
            case PlacedMaxPool2d():
                return self._window("MaxPool", x, layer.window)
            case PlacedAvgPool2d():
                y = self._window("AveragePool", x, layer.window)
                return self._shape(y, layer.out_shape) if layer.flat else y
            case PlacedReshape():
                return self._shape(x, layer.out_shape)
            case PlacedActivation():
                return self.activation(layer.act, x, layer.slope)
            case PlacedDropout():
                return x
            case PlacedLayerNorm():
                given = [x, self.slot(layer.gain), self.slot(layer.bias)]
                return self.add("LayerNormalization", *given, axis=-1, epsilon=layer.eps)
            case PlacedBatchNorm():
                return self._batch_norm(layer, x)
            case PlacedNormalize():
                scale = 1 / np.sqrt(self._read(layer.variance) + np.float32(layer.eps))
                y = self.add("Sub", x, self.slot(layer.mean))
                far = (self.constant(np.array(end, np.float32)) for end in (-FAR, FAR))
                return self.add("Clip", self.add("Mul", y, self.constant(scale)), *far)
        name = type(layer).__name__.removeprefix("Placed")
        raise UsageError(f"--to onnx: no form for a layer of kind {name}; use safetensors or npz")

    def activation(self, act: str, x: str, slope: float = 0.0) -> str:
        if act == "identity":
            return x
        if act == "leaky_relu":
            return self.add("LeakyRelu", x, alpha=slope)
        if act == "gelu":
            return self.add("Gelu", x, approximate="tanh")
        if act == "exp":
            ends = (self.constant(np.array(end, np.float32)) for end in (-10, 10))
            return self.add("Exp", self.add("Clip", x, *ends))
        return self.add(_NODES[act], x)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def slot(self, slot: Slot) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(self._read(slot).copy(), slot.name))
        return slot.name

    def _read(self, slot: Slot) -> NDArray[np.float32]:
        return self._flat[slot.offset : slot.end].reshape(slot.shape)

    def _shape(self, x: str, shape: tuple[int, ...]) -> str:
        return self.add("Reshape", x, self.constant(np.array([-1, *shape], np.int64)))

    def _window(self, op: str, x: str, window: Window, given: list[str] | None = None) -> str:
        first = self.add("Transpose", x, perm=[0, 3, 1, 2])
        pads = [*window.padding, *window.padding]
        kernel, strides = list(window.kernel), list(window.stride)
        y = self.add(op, first, *given or (), kernel_shape=kernel, strides=strides, pads=pads)
        return self.add("Transpose", y, perm=[0, 2, 3, 1])

    def _batch_norm(self, layer: PlacedBatchNorm, x: str) -> str:
        rows = self._shape(x, layer.out_shape[-1:])
        slots = (layer.gain, layer.bias, layer.mean, layer.variance)
        y = self.add("BatchNormalization", rows, *(self.slot(s) for s in slots), epsilon=layer.eps)
        return self._shape(y, layer.out_shape)
