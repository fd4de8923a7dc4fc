"""npz and npy: parts, tables, and files that lie about themselves."""

import io
import zipfile

import numpy as np
import pytest

from agentd.engine.data import DataError, DataOptions, load_data
from agentd.engine.data.arrays import load_npz


def npy(array, **options) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, **options)
    return out.getvalue()


def zipped(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


def test_parts_are_taken_by_name(tmp_path):
    x, y = np.arange(24, dtype=np.uint8).reshape(4, 3, 2), np.array([0, 1, 2, 1])
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])

    train, test = load_data(tmp_path / "d.npz"), load_data(tmp_path / "d.npz", "test")

    assert (len(train), train.shape, train.classes) == (4, (3, 2), 3)
    assert len(test) == 2


@pytest.mark.parametrize("order", ["xyxy", "xxyy"])
def test_arrays_without_names_are_taken_by_their_order(tmp_path, order):
    """As numpy.savez numbers them: by parts, or as scikit-learn's split gives them."""
    x, y = np.arange(24.0).reshape(8, 3), np.arange(8) % 2
    both = (x, y, x[:3], y[:3]) if order == "xyxy" else (x, x[:3], y, y[:3])
    np.savez(tmp_path / "a.npz", *both)
    np.savez(tmp_path / "b.npz", x, y)

    assert (len(load_data(tmp_path / "a.npz")), len(load_data(tmp_path / "b.npz"))) == (8, 8)
    test = load_data(tmp_path / "a.npz", "test")
    assert (test.inputs.tolist(), test.labels().tolist()) == (x[:3].tolist(), [0, 1, 0])


def test_one_hot_targets_are_classes_and_numbers_are_values(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2)), y=np.eye(3)[[2, 0, 1]])
    np.savez(tmp_path / "b.npz", x=np.zeros((3, 2)), y=np.array([[0.5, 1], [2, 3], [1, 1]]))

    assert load_data(tmp_path / "a.npz").labels().tolist() == [2, 0, 1]
    assert load_data(tmp_path / "b.npz").outputs == 2


def test_a_table_is_cut_into_inputs_and_labels(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[1, 2, 3, 0.5], [4, 5, 6, 1.5]]))

    data = load_data(tmp_path / "t.npy", options=DataOptions(labels=(-2, -1)))

    assert data.inputs.tolist() == [[1, 2], [4, 5]]
    assert data.targets.tolist() == [[3, 0.5], [6, 1.5]]


def test_objects_are_never_unpickled(tmp_path):
    data = npy(np.array([print], object), allow_pickle=True)

    with pytest.raises(DataError, match="holds Python objects"):
        load_npz(zipped(tmp_path / "a.npz", x=data))
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(DataError, match="holds Python objects"):
        load_data(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", ["(1099511627776,)", "(4, 1000000000)"])
def test_a_shape_bomb_is_refused_by_its_size(tmp_path, shape):
    head = npy(np.zeros(4)).replace(b"(4,), ", f"{shape}, ".encode())
    head = head[: 10 + 118]  # the header only, however long the shape made it

    with pytest.raises(DataError, match=r"truncated|header"):
        load_npz(zipped(tmp_path / "a.npz", x=head))


def test_a_zip_bomb_is_refused(tmp_path):
    path = zipped(tmp_path / "a.npz", x=npy(np.zeros(4)))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 24 : at + 28] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(bytes(data))

    with pytest.raises(DataError, match="claims more than it can hold"):
        load_npz(path)


def test_cut_and_flipped_files_give_only_data_errors(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(50.0).reshape(10, 5), y=np.arange(10) % 2)
    whole = (tmp_path / "a.npz").read_bytes()
    rng = np.random.default_rng(0)

    for _ in range(200):
        data = bytearray(whole)
        if rng.random() < 0.3:
            data = data[: rng.integers(len(data))]
        else:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (tmp_path / "b.npz").write_bytes(bytes(data))
        try:
            load_data(tmp_path / "b.npz")
        except DataError:
            continue


def test_what_is_not_finite_or_does_not_fit_is_named(tmp_path):
    x = np.zeros((4, 2))
    x[2, 1] = np.nan
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(4))
    with pytest.raises(
        DataError, match="row 3, column `x`: not finite: expected a number, got nan"
    ):
        load_data(tmp_path / "a.npz")

    np.savez(tmp_path / "a.npz", x=x[:2], y=np.arange(4))
    with pytest.raises(DataError, match="targets do not fit the inputs"):
        load_data(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", z=x)
    with pytest.raises(DataError, match="expected an array `x`, got z"):
        load_data(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=x[:2])
    with pytest.raises(DataError, match="no targets"):
        load_data(tmp_path / "a.npz")
