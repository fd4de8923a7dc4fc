"""ONNX as the nodes of Godot RL Agents and of Unity's ML-Agents load it: names, shapes, numbers."""

from typing import Any

import numpy as np
import pytest

from agentd.errors import UsageError
from agentd.export.onnxfile import onnx_file
from agentd.export.run import onnx_session

from . import nets

onnx = pytest.importorskip("onnx")
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def described(values: Any) -> dict[str, tuple[int, list[int | str]]]:
    return {
        each.name: (
            each.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in each.type.tensor_type.shape.dim],
        )
        for each in values
    }


def test_unity_finds_its_tensors() -> None:
    case = nets.net_case("dueling", 50)
    data = onnx_file(case.policy, "unity")
    model = onnx.load_from_string(data)
    assert (model.opset_import[0].version, model.ir_version) == (15, 8)
    assert described(model.graph.input) == {
        "obs_0": (FLOAT, ["batch", 3, 2]),
        "obs_1": (FLOAT, ["batch", 4]),
        "obs_2": (FLOAT, ["batch", 1]),
        "action_masks": (FLOAT, ["batch", 9]),
    }
    assert described(model.graph.output) == {
        "version_number": (FLOAT, [1]),
        "memory_size": (FLOAT, [1]),
        "discrete_action_output_shape": (FLOAT, [1, 3]),
        "discrete_actions": (INT64, ["batch", 3]),
        "deterministic_discrete_actions": (INT64, ["batch", 3]),
    }
    rows = case.probe.rows
    feeds = {
        "obs_0": rows[:, :6].reshape(-1, 3, 2),
        "obs_1": rows[:, 6:10],
        "obs_2": rows[:, 10:],
        "action_masks": case.probe.mask.astype(np.float32),
    }
    names = [each.name for each in model.graph.output]
    version, memory, sizes, chosen, best = onnx_session(data)(names, feeds)
    assert (version.tolist(), memory.tolist(), sizes.tolist()) == ([3], [0], [[3, 2, 4]])
    np.testing.assert_array_equal(best, case.probe.action)
    np.testing.assert_array_equal(chosen, best)


def test_unity_gives_images_channels_first_and_stacked() -> None:
    case = nets.net_case("convolution", 40)
    data = onnx_file(case.policy, "unity")
    inputs = described(onnx.load_from_string(data).graph.input)
    assert inputs["obs_0"] == (FLOAT, ["batch", 6, 7, 6])
    case.probe.first[:] = True  # a single frame stands for both
    frame = case.probe.rows.reshape(-1, 7, 6, 3).transpose(0, 3, 1, 2)
    feeds = {
        "obs_0": np.concatenate([frame, frame], axis=1),
        "action_masks": np.ones((40, 9), np.float32),
    }
    (found,) = onnx_session(data)(["discrete_actions"], feeds)
    plain = onnx_session(onnx_file(case.policy))
    board = case.probe.raw.reshape(-1, 1, 7, 6, 3).repeat(2, axis=1)
    np.testing.assert_array_equal(found, plain(["action"], {"board": board})[0])


def test_layer_norm_is_taken_apart_for_games() -> None:
    case = nets.preset_cases(20)
    (stream,) = [c for c in case if c.policy.name == "cartpole_stream"]
    model = onnx.load_from_string(onnx_file(stream.policy, "unity"))
    assert "LayerNormalization" not in {node.op_type for node in model.graph.node}
    plain = onnx.load_from_string(onnx_file(stream.policy))
    assert "LayerNormalization" in {node.op_type for node in plain.graph.node}
    assert plain.opset_import[0].version == 17


def test_godot_rl_finds_its_tensors() -> None:
    case = nets.net_case("normalized", 50)
    data = onnx_file(case.policy, "godot-rl")
    model = onnx.load_from_string(data)
    assert described(model.graph.input) == {
        "obs": (FLOAT, ["batch", 6]),
        "state_ins": (FLOAT, ["batch"]),
    }
    assert described(model.graph.output) == {
        "output": (FLOAT, ["batch", 3]),
        "state_outs": (FLOAT, ["batch"]),
    }
    state = np.ones(50, np.float32)
    feeds = {"obs": case.probe.rows, "state_ins": state}
    output, out = onnx_session(data)(["output", "state_outs"], feeds)
    np.testing.assert_allclose(output, case.probe.q, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(out, state)


def test_the_mask_may_be_left_out_and_facts_are_inside() -> None:
    case = nets.net_case("plain", 20)
    data = onnx_file(case.policy)
    q, action = onnx_session(data)(["q", "action"], {"obs": case.probe.rows})
    np.testing.assert_array_equal(action[:, 0], q.argmax(axis=1))
    told = {p.key: p.value for p in onnx.load_from_string(data).metadata_props}
    assert told["agent"] == "plain"
    assert "Apache" in told["licence"]
    assert '"shape": [6]' in told["observation"]


@pytest.mark.parametrize(
    ("name", "layout", "small", "said"),
    [
        ("stacked", "unity", False, "feeds no last actions"),
        ("convolution", "godot-rl", False, "feeds one row, and this agent sees 2"),
        ("plain", "unity", True, "no int8"),
    ],
)
def test_what_a_node_cannot_feed_is_refused(name: str, layout: str, small: bool, said: str) -> None:
    case = nets.net_case(name, 10)
    with pytest.raises(UsageError, match=said):
        onnx_file(case.small if small else case.policy, layout)
