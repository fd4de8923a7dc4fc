"""Schemas: layout in sorted-name order, limits by field, casting against a naive twin."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import DTYPES, Schema, raw_to_features

DISCRETE = {"kind": "discrete", "n": 3}


def tensors(**specs: tuple[str, list[int]]) -> dict[str, Any]:
    return {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in specs.items()}


def test_tensors_lie_in_the_order_of_their_names() -> None:
    wire = tensors(b=("uint8", [3]), a=("float32", [2, 2]), c=("int32", []))

    schema = Schema.from_wire(wire, {"kind": "multi_discrete", "n": [3, 2]})

    assert [(t.name, t.nbytes, t.offset, t.size) for t in schema.tensors] == [
        ("a", 16, 0, 4),
        ("b", 3, 16, 3),
        ("c", 4, 19, 1),
    ]
    assert (schema.row_bytes, schema.features) == (23, 8)
    assert (schema.branches, schema.n_actions) == ((3, 2), 5)


def test_the_wire_form_comes_back_equal() -> None:
    for action in (DISCRETE, {"kind": "multi_discrete", "n": [4]}):
        schema = Schema.from_wire(tensors(z=("int8", [1, 2, 3, 4]), y=("float16", [5])), action)
        wire = schema.to_wire()
        again = Schema.from_wire(wire["observation"], wire["action"])
        assert again == schema
        assert again.digest() == schema.digest()
        assert again.describe() == schema.describe()


def test_different_schemas_have_different_digests() -> None:
    schemas = [
        Schema.from_wire(tensors(x=("float32", [4])), DISCRETE),
        Schema.from_wire(tensors(x=("float32", [2, 2])), DISCRETE),
        Schema.from_wire(tensors(x=("int32", [4])), DISCRETE),
        Schema.from_wire(tensors(y=("float32", [4])), DISCRETE),
        Schema.from_wire(tensors(x=("float32", [4])), {"kind": "discrete", "n": 4}),
        Schema.from_wire(tensors(x=("float32", [4])), {"kind": "multi_discrete", "n": [3]}),
    ]
    assert len({schema.digest() for schema in schemas}) == len(schemas)
    assert len({schema.describe() for schema in schemas}) == len(schemas)


X = tensors(x=("float32", [2]))


@pytest.mark.parametrize(
    ("observation", "action", "field"),
    [
        (None, DISCRETE, "observation"),
        ([], DISCRETE, "observation"),
        ({}, DISCRETE, "observation"),
        ({f"t{i}": {"dtype": "int8", "shape": []} for i in range(65)}, DISCRETE, "observation"),
        (tensors(**{"a b": ("int8", [])}), DISCRETE, "observation"),
        (tensors(**{"a" * 65: ("int8", [])}), DISCRETE, "observation"),
        (tensors(**{"": ("int8", [])}), DISCRETE, "observation"),
        (tensors(**{"a\n": ("int8", [])}), DISCRETE, "observation"),
        ({"x": 1}, DISCRETE, "observation.x"),
        ({"x": {"dtype": "int8"}}, DISCRETE, "observation.x"),
        ({"x": {"dtype": "int8", "shape": [], "low": 0}}, DISCRETE, "observation.x"),
        (tensors(x=("float64", [])), DISCRETE, "observation.x.dtype"),
        ({"x": {"dtype": 7, "shape": []}}, DISCRETE, "observation.x.dtype"),
        ({"x": {"dtype": [], "shape": []}}, DISCRETE, "observation.x.dtype"),
        ({"x": {"dtype": "int8", "shape": 3}}, DISCRETE, "observation.x.shape"),
        (tensors(x=("int8", [1] * 5)), DISCRETE, "observation.x.shape"),
        (tensors(x=("int8", [0])), DISCRETE, "observation.x.shape"),
        (tensors(x=("int8", [-1])), DISCRETE, "observation.x.shape"),
        (tensors(x=("int8", [65537])), DISCRETE, "observation.x.shape"),
        ({"x": {"dtype": "int8", "shape": [True]}}, DISCRETE, "observation.x.shape"),
        ({"x": {"dtype": "int8", "shape": ["2"]}}, DISCRETE, "observation.x.shape"),
        (tensors(x=("float32", [65536, 65536])), DISCRETE, "observation"),
        (tensors(x=("float32", [65536] * 4)), DISCRETE, "observation"),
        (X, None, "action"),
        (X, {"kind": "discrete"}, "action"),
        (X, {"kind": "box", "n": 2}, "action.kind"),
        (X, {"kind": "discrete", "n": [2]}, "action.n"),
        (X, {"kind": "discrete", "n": 0}, "action.n"),
        (X, {"kind": "discrete", "n": 65537}, "action.n"),
        (X, {"kind": "discrete", "n": 2.0}, "action.n"),
        (X, {"kind": "discrete", "n": True}, "action.n"),
        (X, {"kind": "multi_discrete", "n": 2}, "action.n"),
        (X, {"kind": "multi_discrete", "n": []}, "action.n"),
        (X, {"kind": "multi_discrete", "n": [2] * 65}, "action.n"),
        (X, {"kind": "multi_discrete", "n": [65536, 2]}, "action.n"),
    ],
)
def test_a_bad_schema_names_its_field(observation: Any, action: Any, field: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        Schema.from_wire(observation, action, version=1)

    fault = caught.value
    assert (fault.code, fault.field, fault.fatal) == (Code.BAD_HELLO, field, True)
    assert fault.expected
    assert fault.got is not None
    assert len(fault.message) < 300


@given(
    specs=st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(1, 3), max_size=3)),
        min_size=1,
    ),
    n=st.sampled_from([1, 2, 63, 64, 65]),
    seed=st.integers(0, 2**32 - 1),
)
def test_features_are_the_numbers_as_float32(
    specs: dict[str, tuple[str, list[int]]], n: int, seed: int
) -> None:
    schema = Schema.from_wire(tensors(**specs), DISCRETE)
    rng = np.random.default_rng(seed)
    columns = {t.name: rng.integers(0, 100, (n, *t.shape)).astype(t.dtype) for t in schema.tensors}
    raw = np.concatenate(
        [columns[name].reshape(n, -1).view(np.uint8).reshape(n, -1) for name in sorted(columns)],
        axis=1,
    )
    want = np.concatenate(
        [columns[name].reshape(n, -1).astype(np.float32) for name in sorted(columns)], axis=1
    )

    given_out = np.full((n + 1, schema.features), np.nan, np.float32)
    for out in (None, given_out):
        found = raw_to_features(schema, raw, out)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, want)


def test_one_float32_tensor_is_not_copied() -> None:
    schema = Schema.from_wire(X, DISCRETE)
    raw = np.zeros((3, schema.row_bytes), np.uint8)

    assert np.shares_memory(raw_to_features(schema, raw), raw)


# -- the actions of version 2 ----------------------------------------------------------------------

SEEN = {"x": {"dtype": "float32", "shape": [2]}}
BOX = {"kind": "box", "low": [-1.0, 0], "high": [1.0, 2.5]}
MIXED = {"kind": "mixed", "heads": [{"n": 3, "name": "move"}, {"low": 0.0, "high": 1.0}]}


@pytest.mark.parametrize("action", [BOX, MIXED])
def test_numbers_are_read_and_written(action: dict[str, Any]) -> None:
    schema = Schema.from_wire(SEEN, action, version=2)

    assert Schema.from_wire(**schema.to_wire()) == schema
    assert (schema.kind, schema.action_width, schema.action_dtype) == (action["kind"], 2, "<f4")
    assert schema.n_actions == (0 if action is BOX else 3)
    assert schema.digest() != Schema.from_wire(SEEN, {"kind": "discrete", "n": 3}).digest()
    with pytest.raises(ProtocolError) as caught:
        Schema.from_wire(SEEN, action, version=1)
    assert (caught.value.code, caught.value.field) == (Code.BAD_HELLO, "action")


@pytest.mark.parametrize(
    ("action", "field"),
    [
        (BOX | {"high": [1.0]}, "action.high"),
        (BOX | {"high": [1.0, 0.0]}, "action.high[1]"),
        (BOX | {"high": [1.0, float("nan")]}, "action.high[1]"),
        (BOX | {"low": [float("-inf"), 0.0]}, "action.low[0]"),
        (BOX | {"low": [-1e39, 0.0]}, "action.low[0]"),
        (BOX | {"low": [1.0, 0.0], "high": [1.0 + 1e-12, 1.0]}, "action.high[0]"),
        (BOX | {"low": [True, 0.0]}, "action.low[0]"),
        (BOX | {"low": ["0", 0.0]}, "action.low[0]"),
        (BOX | {"low": [], "high": []}, "action.low"),
        (BOX | {"low": [0.0] * 33, "high": [1.0] * 33}, "action.low"),
        (BOX | {"n": 3}, "action"),
        ({"kind": "box", "low": [0.0]}, "action"),
        (MIXED | {"heads": []}, "action.heads"),
        (MIXED | {"heads": [{"n": 1}] * 65}, "action.heads"),
        (MIXED | {"heads": [{"low": 0, "high": 1}] * 33}, "action.heads"),
        (MIXED | {"heads": [{"n": 65536}, {"n": 1}]}, "action.heads"),
        (MIXED | {"heads": [{"n": 0}]}, "action.heads[0].n"),
        (MIXED | {"heads": [{"n": 2, "low": 0.0, "high": 1.0}]}, "action.heads[0]"),
        (MIXED | {"heads": [{"low": 0.0, "high": 0.0}]}, "action.heads[0].high"),
        (MIXED | {"heads": [{"n": 2, "name": ""}]}, "action.heads[0].name"),
        (MIXED | {"heads": [3]}, "action.heads[0]"),
        ({"kind": "wheel", "n": 3}, "action.kind"),
        ({"kind": "wheel"}, "action.kind"),
    ],
)
def test_actions_of_version_2_that_are_none(action: dict[str, Any], field: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        Schema.from_wire(SEEN, action, version=2)

    assert (caught.value.code, caught.value.field) == (Code.BAD_HELLO, field)
