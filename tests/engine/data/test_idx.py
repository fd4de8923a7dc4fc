"""IDX: what is read, and what a damaged file says."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from agentd.engine.data import DataError, load_data, open_data, parts_of
from agentd.engine.data.idx import TYPES, IdxArray, write_idx


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, n, end in (("train", 12, ".gz"), ("t10k", 5, "")):
        images = rng.integers(0, 256, (n, 3, 2)).astype(np.uint8)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{end}", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{end}", (np.arange(n) % 3).astype(np.uint8))
    return tmp_path


def test_a_folder_has_two_parts_gzipped_or_not(folder):
    assert parts_of(folder) == ("train", "test")
    train, test = load_data(folder), load_data(folder, "test")

    assert (len(train), train.shape, train.classes) == (12, (3, 2), 3)
    assert train.inputs.dtype == np.uint8
    assert (len(test), test.labels().tolist()) == (5, [0, 1, 2, 0, 1])


def test_one_file_finds_its_labels(folder):
    assert load_data(folder / "train-images-idx3-ubyte.gz").classes == 3


@pytest.mark.parametrize("kind", TYPES.values(), ids=str)
def test_every_type_round_trips_in_blocks(tmp_path, kind):
    array = (np.arange(30).reshape(10, 3) % 100).astype(kind.newbyteorder("="))
    write_idx(tmp_path / "a", array)

    found = list(IdxArray(tmp_path / "a").blocks(4))

    assert [len(piece) for piece in found] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(found), array)
    assert found[0].dtype == array.dtype


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_file_tells_both_sizes(folder, packed):
    name = "train-images-idx3-ubyte.gz" if packed else "t10k-images-idx3-ubyte"
    path = folder / name
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(DataError, match=r"truncated: expected \d+ bytes, got \d+ bytes") as fault:
        load_data(folder, "train" if packed else "test")
    assert str(path) in str(fault.value)


def test_damage_inside_a_gzip_is_told(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF  # its checksum
    path.write_bytes(bytes(data))

    with pytest.raises(DataError, match=r"damaged gzip|bytes after"):
        load_data(folder)


@pytest.mark.parametrize(
    "head",
    [b"", b"\0\0", b"\1\0\x08\1\0\0\0\1", b"\0\0\x07\1\0\0\0\1", b"\0\0\x08\0", b"\0\0\x08\x09"],
)
def test_a_wrong_header_is_refused(tmp_path, head):
    path = tmp_path / "x-images-idx1-ubyte"
    path.write_bytes(head)

    with pytest.raises(DataError, match="no IDX file"):
        open_data(path)


def test_a_header_that_claims_too_much_allocates_nothing(tmp_path):
    head = b"\0\0\x08\3" + b"\xff" * 12
    (tmp_path / "x-images-idx3-ubyte").write_bytes(head)
    with pytest.raises(DataError, match="truncated"):
        open_data(tmp_path / "x-images-idx3-ubyte")

    packed = tmp_path / "y-images-idx1-ubyte.gz"
    packed.write_bytes(gzip.compress(b"\0\0\x08\1\xff\xff\xff\xff"))
    with pytest.raises(DataError, match="truncated"):
        list(IdxArray(packed).blocks(1 << 31))


def test_labels_must_fit_the_images_and_the_classes(folder):
    with pytest.raises(DataError, match=r"row 3: label out of range: expected .* 0 to 1, got 2"):
        load_data(folder, classes=2)

    write_idx(folder / "train-labels-idx1-ubyte.gz", np.zeros(11, np.uint8))
    with pytest.raises(DataError, match="labels do not fit the images: expected 12 labels, got 11"):
        load_data(folder)

    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="no labels beside"):
        load_data(folder)


def test_a_folder_without_idx_files_says_what_it_wants(tmp_path):
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        load_data(tmp_path)
