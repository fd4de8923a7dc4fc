from __future__ import annotations

import numpy as np
import pytest

from agentd.client.frames import Packer
from agentd.protocol import messages as m
from agentd.protocol.errors import ProtocolError
from agentd.protocol.schema import Schema


def schema(observation=None, action=None):
    return Schema.from_wire(
        observation or {"obs": {"dtype": "float32", "shape": [2]}},
        action or {"kind": "discrete", "n": 3},
    )


@pytest.fixture
def packer():
    return Packer(schema(), streams=4)


@pytest.fixture
def two():
    return Packer(
        schema(
            {"a": {"dtype": "uint8", "shape": [2, 2]}, "b": {"dtype": "int32", "shape": []}},
            {"kind": "multi_discrete", "n": [2, 3]},
        ),
        streams=4,
    )


def numbers(data, dtype):
    return np.frombuffer(data, dtype).tolist()


def test_arrays_become_the_bytes_of_r5(packer):
    fields = packer.step(
        np.array([[1, 2], [3, 4]], np.float32),
        np.array([0.5, 1.5]),
        np.array([0, 1]),
        np.array([3, 1]),
        np.array([[1, 0, 1], [0, 1, 1]]),
    )

    assert numbers(fields["obs"]["obs"], np.float32) == [1, 2, 3, 4]
    assert numbers(fields["reward"], np.float32) == [0.5, 1.5]
    assert numbers(fields["kind"], np.uint8) == [0, 1]
    assert numbers(fields["stream"], np.uint32) == [3, 1]
    assert numbers(fields["mask"], np.uint8) == [1, 0, 1, 0, 1, 1]


def test_one_row_may_be_given_without_its_axis_and_with_plain_numbers(packer):
    fields = packer.step([1, 2], 0.25, 1, None, [True, False, True])

    assert numbers(fields["obs"]["obs"], np.float32) == [1, 2]
    assert numbers(fields["reward"], np.float32) == [0.25]
    assert numbers(fields["stream"], np.uint32) == [0]
    assert numbers(fields["mask"], np.uint8) == [1, 0, 1]


def test_streams_count_up_when_left_out_and_one_number_serves_every_row(packer):
    fields = packer.step(np.zeros((3, 2), np.float32), 2, 1, None, None)

    assert numbers(fields["stream"], np.uint32) == [0, 1, 2]
    assert numbers(fields["reward"], np.float32) == [2, 2, 2]
    assert "mask" not in fields


def test_float64_becomes_float32_and_strided_arrays_become_contiguous(packer):
    rows = np.arange(8.0).reshape(2, 4)[:, ::2]

    fields = packer.step(rows, np.arange(4.0)[::2], 1, np.array([3, 9, 2])[::2], None)

    assert numbers(fields["obs"]["obs"], np.float32) == [0, 2, 4, 6]
    assert numbers(fields["reward"], np.float32) == [0, 2]
    assert numbers(fields["stream"], np.uint32) == [3, 2]


def test_several_tensors_go_by_name(two):
    obs = {"b": np.array([7, 8]), "a": np.ones((2, 2, 2), np.uint8)}
    fields = two.step(obs, 0, 0, None, np.ones((2, 5), np.int8))

    assert list(fields["obs"]) == ["a", "b"]
    assert numbers(fields["obs"]["b"], np.int32) == [7, 8]
    assert fields["mask"].nbytes == 10


@pytest.mark.parametrize(
    ("obs", "error", "words"),
    [
        (np.zeros((2, 3), np.float32), ValueError, r"obs: want shape \(N, 2\), got \(2, 3\)"),
        (np.zeros(3, np.float32), ValueError, r"obs: want shape \(N, 2\), got \(3,\)"),
        (np.float32(1), ValueError, r"obs: want shape \(N, 2\), got \(\)"),
        (np.zeros((2, 2), complex), TypeError, "obs: want float32, got complex128"),
        ({"x": np.zeros((1, 2))}, ValueError, "obs.obs: missing"),
        ({"obs": np.zeros((1, 2)), "x": 1}, ValueError, "obs.x: not in the schema"),
    ],
)
def test_observations_that_do_not_fit_are_named(packer, obs, error, words):
    with pytest.raises(error, match=words):
        packer.step(obs, 0, 0, None, None)


def test_tensors_with_different_numbers_of_rows_are_refused(two):
    with pytest.raises(ValueError, match=r"b: want shape \(2\), got \(3,\)"):
        two.step({"a": np.ones((2, 2, 2), np.uint8), "b": np.arange(3)}, 0, 0, None, None)


def test_a_bare_array_is_refused_when_there_are_several_tensors(two):
    with pytest.raises(TypeError, match="want a mapping with a, b"):
        two.step(np.zeros((2, 2)), 0, 0, None, None)


@pytest.mark.parametrize("field", ["reward", "kind", "stream"])
def test_columns_need_one_number_a_row(packer, field):
    columns = {"reward": 0, "kind": 0, "stream": None, field: np.zeros(3, np.int64)}
    with pytest.raises(ValueError, match=f"{field}: want 2 values"):
        packer.step(np.zeros((2, 2)), columns["reward"], columns["kind"], columns["stream"], None)


def test_more_rows_than_streams_need_their_ids(packer):
    with pytest.raises(ValueError, match="5 rows for 4 streams need their ids"):
        packer.step(np.zeros((5, 2)), 0, 0, None, None)


def test_masks_may_be_bools_or_any_integers_but_not_floats(packer):
    for dtype in (bool, np.int8, np.int64):
        fields = packer.step([1, 2], 0, 0, None, np.array([1, 0, 1], dtype))
        assert numbers(fields["mask"], np.uint8) == [1, 0, 1]
    with pytest.raises(TypeError, match="mask: want uint8, got float64"):
        packer.step([1, 2], 0, 0, None, np.array([1.0, 0, 1]))


def test_masks_need_one_number_an_action(packer):
    with pytest.raises(ValueError, match=r"mask: want shape \(1, 3\)"):
        packer.step(np.zeros((1, 2)), 0, 0, None, np.ones((1, 4), np.uint8))


@pytest.mark.parametrize(
    ("target", "dtype", "expected"),
    [
        (np.array([2, 0]), np.int32, [2, 0]),
        ([2, 0], np.int32, [2, 0]),
        (np.array([[1.5, 2], [3, 4]]), np.float32, [1.5, 2, 3, 4]),
        (np.array([0.5, 1.5]), np.float32, [0.5, 1.5]),
    ],
)
def test_targets_are_classes_or_values(packer, target, dtype, expected):
    fields = packer.teach(np.zeros((2, 2)), target, np.array([1, 2]))

    assert numbers(fields["target"], dtype) == expected
    assert numbers(fields["weight"], np.float32) == [1, 2]


def test_targets_need_one_for_each_row(packer):
    with pytest.raises(ValueError, match="target"):
        packer.teach(np.zeros((2, 2)), np.zeros(3), None)


def test_an_act_becomes_arrays_that_can_be_written(two):
    message = m.ActReply(
        seq=9,
        action=memoryview(np.array([1, 2, -1, -1], np.int32).tobytes()),
        version=4,
        q=memoryview(np.arange(10, dtype=np.float32).tobytes()),
        explored=memoryview(bytes([1, 0])),
        novelty=memoryview(np.array([0.25, 1], np.float32).tobytes()),
    )

    act = two.act(message)

    assert act.actions.tolist() == [[1, 2], [-1, -1]]
    assert (act.seq, act.version) == (9, 4)
    assert act.q.shape == (2, 5)
    assert act.explored.tolist() == [True, False]
    assert act.novelty.tolist() == [0.25, 1]
    act.actions[0] = 0


def test_an_act_of_odd_size_is_the_servers_fault(packer):
    with pytest.raises(ProtocolError, match="BAD_SHAPE"):
        packer.act(m.ActReply(seq=1, action=memoryview(b"abc"), version=1))
