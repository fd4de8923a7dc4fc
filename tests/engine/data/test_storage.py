"""Protobuf data sets, and the wire format against Google's own implementation."""

import contextlib

import numpy as np
import pytest

from agentd.engine.data import DataError, Dataset, load_data, wire, write_data

X = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


def storage(rows, packed=True) -> bytes:
    out = b""
    for x, y in rows:
        record = b""
        for number, values in ((1, x), (2, y)):
            if packed:
                record += wire.put_floats(number, np.asarray(values, np.float32))
            else:
                record += b"".join(wire.put_float(number, value) for value in values)
        out += wire.put_bytes(1, record)
    return out


@pytest.mark.parametrize("packed", [True, False])
def test_rows_are_read_packed_or_not(tmp_path, packed):
    path = tmp_path / "d.pb"
    path.write_bytes(storage(zip(X, np.eye(2)[[0, 1, 1, 0]], strict=True), packed))

    data = load_data(path)

    np.testing.assert_array_equal(data.inputs, X)
    assert data.labels().tolist() == [0, 1, 1, 0]


def test_written_data_reads_back(tmp_path):
    classes = Dataset.from_arrays(X, np.array([2, 0, 1, 2]))
    values = Dataset.from_arrays(X, X[:, :2])

    for data in (classes, values):
        write_data(data, tmp_path / "d.pb")
        found = load_data(tmp_path / "d.pb")
        np.testing.assert_array_equal(found.inputs, X)
        np.testing.assert_array_equal(found.targets, data.targets)
        (tmp_path / "d.pb").unlink()


def test_unknown_fields_are_skipped(tmp_path):
    extra = wire.put_int(9, 5) + wire.put_bytes(8, b"abc") + wire.put_double(7, 1.0)
    record = extra + wire.put_floats(1, X[0]) + wire.put_floats(2, X[0][:1])
    (tmp_path / "d.pb").write_bytes(extra + wire.put_bytes(1, record) + extra)

    assert len(load_data(tmp_path / "d.pb")) == 1


def test_another_width_names_the_record(tmp_path):
    (tmp_path / "d.pb").write_bytes(storage([(X[0], [1]), (X[1][:2], [1])]))

    with pytest.raises(DataError, match=r"row 2, column `input`: another size .* 3 numbers, got 2"):
        load_data(tmp_path / "d.pb")
    (tmp_path / "d.pb").write_bytes(storage([(X[0], [1]), (X[1] * np.nan, [1])]))
    with pytest.raises(DataError, match="row 2, column `input`: not finite"):
        load_data(tmp_path / "d.pb")


def test_every_truncation_is_told_and_never_another_error(tmp_path):
    whole = storage(zip(X, np.eye(2)[[0, 1, 1, 0]], strict=True))
    ends = {len(storage(zip(X[:n], np.eye(2)[[0, 1, 1, 0]], strict=False))) for n in range(5)}
    path = tmp_path / "d.pb"

    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size in ends and size:
            load_data(path)
            continue
        with pytest.raises(DataError):
            load_data(path)


def test_random_bytes_give_only_data_errors(tmp_path):
    rng = np.random.default_rng(1)
    whole = storage(zip(X, X, strict=True))
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        (tmp_path / "d.pb").write_bytes(bytes(data))
        with contextlib.suppress(DataError):
            load_data(tmp_path / "d.pb")


def test_varints_at_their_bounds():
    for value in (0, 1, 127, 128, 300, 2**32, 2**63, 2**64 - 1):
        ((number, kind, found),) = wire.fields(memoryview(wire.put_int(3, value)))
        assert (number, kind, found) == (3, 0, value)
    assert wire.put_varint(300) == b"\xac\x02"  # the specification's own example
    with pytest.raises(wire.WireError, match="64 bits"):
        list(wire.fields(memoryview(b"\x08" + b"\xff" * 10 + b"\x01")))


def test_googles_implementation_reads_what_we_write_and_writes_what_we_read(tmp_path):
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="d.proto", package="t", syntax="proto3")
    row = file.message_type.add(name="PbDataBatch")
    for number, name in ((1, "input"), (2, "expected")):
        row.field.add(name=name, number=number, type=2, label=3)
    whole = file.message_type.add(name="PbDataStorage")
    whole.field.add(name="data", number=1, type=11, label=3, type_name=".t.PbDataBatch")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    storage_type = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.PbDataStorage"))

    write_data(Dataset.from_arrays(X, np.array([1, 0, 1, 1])), tmp_path / "ours.pb")
    theirs = storage_type.FromString((tmp_path / "ours.pb").read_bytes())
    assert [list(each.expected) for each in theirs.data] == [[0, 1], [1, 0], [0, 1], [0, 1]]
    np.testing.assert_array_equal([list(each.input) for each in theirs.data], X)

    (tmp_path / "theirs.pb").write_bytes(theirs.SerializeToString())
    np.testing.assert_array_equal(load_data(tmp_path / "theirs.pb").inputs, X)
