"""R5's rules over batches of rows: each refusal by name, and equal to a naive row-by-row twin."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Step
from agentd.protocol.rows import (
    FIRST,
    MID,
    TERMINATED,
    TRUNCATED,
    StreamStates,
    check_lengths,
    check_rows,
)
from agentd.protocol.schema import Schema

STREAMS = 4
SCHEMA = Schema.from_wire(
    {"a": {"dtype": "float32", "shape": [2]}, "b": {"dtype": "uint8", "shape": [3]}},
    {"kind": "multi_discrete", "n": [3, 2]},
)
PLANE = Schema.from_wire({"x": {"dtype": "float32", "shape": [2]}}, {"kind": "discrete", "n": 3})


def batch(locals_: list[int], kinds: list[int], /, **changes: Any) -> dict[str, Any]:
    """Good rows of one session at base 0; keywords replace columns."""
    n = len(locals_)
    schema = changes.pop("schema", SCHEMA)
    local = np.array(locals_, np.uint32)
    columns: dict[str, Any] = {
        "stream": local.astype(np.int64),
        "local": local,
        "streams": np.full(n, STREAMS),
        "kind": np.array(kinds, np.uint8),
        "reward": np.zeros(n, np.float32),
        "obs": np.zeros((n, schema.row_bytes), np.uint8),
        "mask": None,
    }
    return columns | changes


def states(*under_way: int) -> StreamStates:
    made = StreamStates()
    made.grow(STREAMS)
    made.open[list(under_way)] = True
    return made


def refusal(made: StreamStates, columns: dict[str, Any], schema: Schema = SCHEMA) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        check_rows(schema, made, **columns)
    assert not caught.value.fatal
    return caught.value


# -- lengths --------------------------------------------------------------------------------------


def step(**changes: Any) -> Step:
    fields: dict[str, Any] = {
        "seq": 9,
        "stream": struct.pack("<2I", 0, 1),
        "kind": b"\0\0",
        "reward": bytes(8),
        "obs": {"a": bytes(16), "b": bytes(6)},
        "mask": bytes(10),
    }
    return Step(**(fields | changes))


def test_good_lengths_give_the_number_of_rows() -> None:
    assert check_lengths(SCHEMA, step(), 2) == 2
    assert check_lengths(SCHEMA, step(mask=None), 2) == 2


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"kind": b""}, Code.BAD_SHAPE, "kind"),
        ({"kind": b"\0"}, Code.BAD_SHAPE, "stream"),
        ({"kind": b"\0\0\0"}, Code.TOO_MANY_ROWS, "kind"),
        ({"stream": bytes(7)}, Code.BAD_SHAPE, "stream"),
        ({"stream": bytes(4)}, Code.BAD_SHAPE, "stream"),
        ({"reward": bytes(12)}, Code.BAD_SHAPE, "reward"),
        ({"reward": b""}, Code.BAD_SHAPE, "reward"),
        ({"obs": {"a": bytes(16)}}, Code.BAD_SHAPE, "obs.b"),
        ({"obs": {"a": bytes(16), "b": bytes(5)}}, Code.BAD_SHAPE, "obs.b"),
        ({"obs": {"a": bytes(16), "b": bytes(6), "c": b""}}, Code.BAD_SHAPE, "obs.c"),
        ({"obs": {}}, Code.BAD_SHAPE, "obs.a"),
        ({"mask": bytes(9)}, Code.BAD_SHAPE, "mask"),
        ({"mask": b""}, Code.BAD_SHAPE, "mask"),
    ],
)
def test_a_bad_length_names_its_field(changes: dict[str, Any], code: Code, field: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_lengths(SCHEMA, step(**changes), 2)

    fault = caught.value
    assert (fault.code, fault.field, fault.seq, fault.fatal) == (code, field, 9, False)
    assert fault.expected
    assert fault.got


# -- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("under_way", "streams", "kinds"),
    [
        ([], [0, 1, 2, 3], [FIRST] * 4),
        ([0, 1, 2], [2, 0, 1], [MID, TERMINATED, TRUNCATED]),
        ([1], [1, 0], [MID, FIRST]),
        ([0, 1], [0, 0, 1, 1], [TERMINATED, FIRST, TRUNCATED, FIRST]),
        ([0, 1], [0, 1, 1, 0], [TERMINATED, TRUNCATED, FIRST, FIRST]),
        ([0], [0, 3, 0], [TRUNCATED, FIRST, FIRST]),
    ],
)
def test_good_orders_pass(under_way: list[int], streams: list[int], kinds: list[int]) -> None:
    check_rows(SCHEMA, states(*under_way), **batch(streams, kinds))


@pytest.mark.parametrize(
    ("under_way", "streams", "kinds", "code", "row"),
    [
        ([], [0], [MID], Code.BAD_KIND, 0),
        ([], [0], [TERMINATED], Code.BAD_KIND, 0),
        ([1], [1, 0], [MID, TRUNCATED], Code.BAD_KIND, 1),
        ([0], [0], [FIRST], Code.BAD_KIND, 0),
        ([0], [0], [4], Code.BAD_KIND, 0),
        ([0], [0], [255], Code.BAD_KIND, 0),
        ([], [0, 0], [TERMINATED, FIRST], Code.BAD_KIND, 0),
        ([0], [0, 0], [MID, MID], Code.DUPLICATE_STREAM, 0),
        ([0], [0, 0], [MID, TERMINATED], Code.DUPLICATE_STREAM, 0),
        ([], [0, 0], [FIRST, TERMINATED], Code.DUPLICATE_STREAM, 0),
        ([], [0, 0], [FIRST, FIRST], Code.DUPLICATE_STREAM, 0),
        ([0], [0, 0], [TERMINATED, MID], Code.DUPLICATE_STREAM, 1),
        ([0], [0, 0], [TERMINATED, TERMINATED], Code.DUPLICATE_STREAM, 1),
        ([0], [0, 0, 0], [TERMINATED, FIRST, MID], Code.DUPLICATE_STREAM, None),
        ([0], [0, 0, 0], [TERMINATED, TERMINATED, FIRST], Code.DUPLICATE_STREAM, None),
        ([], [4], [FIRST], Code.UNKNOWN_STREAM, 0),
        ([], [0, 2**32 - 1], [FIRST, FIRST], Code.UNKNOWN_STREAM, 1),
    ],
)
def test_bad_orders_are_refused(
    under_way: list[int], streams: list[int], kinds: list[int], code: Code, row: int | None
) -> None:
    fault = refusal(states(*under_way), batch(streams, kinds))

    assert fault.code is code
    assert fault.field == ("kind" if code is Code.BAD_KIND else "stream")
    if row is not None:
        assert fault.message.startswith(f"row {row}: ")


def test_streams_of_other_sessions_do_not_meet() -> None:
    columns = batch([0, 0], [MID, FIRST], stream=np.array([0, 2]), streams=np.array([1, 2]))

    check_rows(SCHEMA, states(0), **columns)

    columns["local"] = np.array([1, 0], np.uint32)
    assert refusal(states(0), columns).code is Code.UNKNOWN_STREAM


def test_applied_rows_move_their_streams() -> None:
    made = states(0, 1)
    columns = batch([0, 1, 1, 2], [TERMINATED, TRUNCATED, FIRST, FIRST])

    check_rows(SCHEMA, made, **columns)
    assert made.open[:STREAMS].tolist() == [True, True, False, False]  # checking moves nothing
    made.apply(columns["stream"], columns["kind"])

    assert made.open[:STREAMS].tolist() == [False, True, True, False]


def test_growing_keeps_what_is_under_way() -> None:
    made = states(1, 3)
    made.grow(1000)

    assert np.flatnonzero(made.open).tolist() == [1, 3]
    assert len(made.open) >= 1000
    made.apply(np.array([999]), np.array([FIRST], np.uint8))
    assert made.open[999]


# -- numbers and masks ----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(bad: float) -> None:
    columns = batch([0, 1, 2], [MID, MID, FIRST])
    columns["reward"][1] = bad
    fault = refusal(states(0, 1), columns)
    assert (fault.code, fault.field) == (Code.NOT_FINITE, "reward")
    assert fault.message.startswith("row 1: ")

    columns = batch([0, 1, 2], [MID, MID, FIRST])
    columns["obs"][2, 4:8] = np.frombuffer(np.float32(bad).tobytes(), np.uint8)
    fault = refusal(states(0, 1), columns)
    assert (fault.code, fault.field) == (Code.NOT_FINITE, "obs.a")
    assert fault.message.startswith("row 2: ")
    assert fault.got == str(bad)


def test_a_first_row_s_reward_is_not_looked_at() -> None:
    check_rows(SCHEMA, states(), **batch([0], [FIRST], reward=np.array([np.nan], np.float32)))


def test_large_finite_numbers_pass() -> None:
    obs = np.full((2, 2), np.finfo(np.float32).max, np.float32).view(np.uint8)
    check_rows(PLANE, states(), **batch([0, 1], [FIRST] * 2, obs=obs, schema=PLANE))


def test_whole_numbers_have_no_nan() -> None:
    obs = np.full((1, SCHEMA.row_bytes), 0, np.uint8)
    obs[:, 8:] = 255
    check_rows(SCHEMA, states(), **batch([0], [FIRST], obs=obs))


def test_half_floats_are_checked() -> None:
    half = Schema.from_wire({"x": {"dtype": "float16", "shape": [2]}}, {"kind": "discrete", "n": 2})
    good = np.array([[65504, -65504]], np.float16)
    check_rows(half, states(), **batch([0], [FIRST], obs=good.view(np.uint8), schema=half))
    bad = np.array([[1, np.inf]], np.float16)
    fault = refusal(states(), batch([0], [FIRST], obs=bad.view(np.uint8), schema=half), half)
    assert fault.code is Code.NOT_FINITE


@pytest.mark.parametrize(
    ("mask", "row"),
    [
        ([[1, 1, 1, 1, 1], [1, 0, 2, 1, 0]], 1),
        ([[0, 0, 0, 1, 1], [1, 1, 1, 1, 1]], 0),
        ([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0]], 1),
        ([[255, 1, 1, 1, 1], [1, 1, 1, 1, 1]], 0),
    ],
)
def test_bad_masks_are_refused(mask: list[list[int]], row: int) -> None:
    fault = refusal(states(), batch([0, 1], [FIRST] * 2, mask=np.array(mask, np.uint8)))

    assert (fault.code, fault.field) == (Code.BAD_MASK, "mask")
    assert fault.message.startswith(f"row {row}: ")


def test_an_ended_row_needs_a_legal_action_too() -> None:
    mask = np.zeros((1, 5), np.uint8)
    assert refusal(states(0), batch([0], [TERMINATED], mask=mask)).code is Code.BAD_MASK


# -- against a naive twin -------------------------------------------------------------------------


def naive(made: StreamStates, columns: dict[str, Any]) -> str | None:
    """The first broken rule's code, by walking the rows one at a time; None when all is well."""
    local, kinds = columns["local"].tolist(), columns["kind"].tolist()
    if any(stream >= STREAMS for stream in local):
        return "UNKNOWN_STREAM"
    if any(kind > TRUNCATED for kind in kinds):
        return "BAD_KIND"
    seen: dict[int, list[int]] = {}
    for stream, kind in zip(local, kinds, strict=True):
        seen.setdefault(stream, []).append(kind)
    for of_stream in seen.values():
        twice_well = len(of_stream) == 2 and of_stream[0] >= TERMINATED and of_stream[1] == FIRST
        if len(of_stream) > 1 and not twice_well:
            return "DUPLICATE_STREAM"
    for stream, of_stream in seen.items():
        if (of_stream[0] == FIRST) == bool(made.open[stream]):
            return "BAD_KIND"
    rewards = zip(columns["reward"].tolist(), kinds, strict=True)
    if any(kind != FIRST and not np.isfinite(reward) for reward, kind in rewards):
        return "NOT_FINITE"
    if not np.isfinite(columns["obs"][:, :8].copy().view(np.float32)).all():
        return "NOT_FINITE"
    if columns["mask"] is not None:
        for row in columns["mask"].tolist():
            if max(row) > 1 or not any(row[:3]) or not any(row[3:]):
                return "BAD_MASK"
    return None


@settings(max_examples=400)
@given(
    under_way=st.lists(st.integers(0, STREAMS - 1), unique=True),
    rows=st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 1, 2, 3, 4]),
            st.sampled_from([0, 1, 2, 3, 3, 2, 1, 0, 4]),
            st.sampled_from([0.0] * 9 + [np.nan]),
            st.lists(st.sampled_from([1, 1, 1, 0]), min_size=5, max_size=5),
        ),
        min_size=1,
        max_size=6,
    ),
    masked=st.booleans(),
)
def test_the_batch_check_agrees_with_the_naive_one(
    under_way: list[int], rows: list[tuple[int, int, float, list[int]]], masked: bool
) -> None:
    made = states(*under_way)
    columns = batch([row[0] for row in rows], [row[1] for row in rows])
    columns["reward"] = np.array([row[2] for row in rows], np.float32)
    if masked:
        columns["mask"] = np.array([row[3] for row in rows], np.uint8)
    want = naive(made, columns)

    try:
        check_rows(SCHEMA, made, **columns)
        found = None
    except ProtocolError as fault:
        found = fault.code.value

    assert found == want
