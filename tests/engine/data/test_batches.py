"""Batches, splits, normalisation, prefetch."""

import threading

import numpy as np
import pytest

from agentd.engine.data import (
    Batches,
    Dataset,
    Prefetch,
    find_normalizer,
    load_data,
    no_normalizer,
    split,
)
from agentd.engine.data.idx import write_idx


def numbered(n, d=2):
    x = np.arange(n * d, dtype=np.float32).reshape(n, d)
    return Dataset.from_arrays(x, np.arange(n) % 2)


@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize(("n", "size"), [(1, 4), (10, 3), (1000, 7), (64, 64)])
def test_every_row_comes_once_an_epoch(monkeypatch, n, size, ahead):
    monkeypatch.setattr("agentd.engine.data.batches.SLAB_NUMBERS", 100)
    data = numbered(n)
    batches = Batches(data, size, no_normalizer(), seed=5, ahead=ahead)

    found = [(b.inputs.copy(), b.targets.copy()) for b in batches.epoch(0)]

    assert [len(x) for x, _ in found] == [size] * (n // size) + ([n % size] if n % size else [])
    rows = np.concatenate([x for x, _ in found])
    np.testing.assert_array_equal(rows[rows[:, 0].argsort()], data.inputs)
    targets = np.concatenate([y for _, y in found])
    np.testing.assert_array_equal(targets, (rows[:, 0] / 2).astype(int) % 2)


def test_the_order_follows_from_seed_and_epoch_and_resumes_anywhere():
    data = numbered(50)
    make = lambda seed: Batches(data, 4, no_normalizer(), seed=seed)  # noqa: E731
    first = [b.inputs.copy() for b in make(1).epoch(3)]

    again = [b.inputs.copy() for b in make(1).epoch(3, start=5)]

    for a, b in zip(first[5:], again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (make(1).order(0) != make(1).order(1)).any()
    assert (make(1).order(0) != make(2).order(0)).any()
    assert (make(None).order(0) == np.arange(50)).all()


def test_split_is_seeded_and_parts_do_not_overlap():
    data = numbered(100)

    train, held = split(data, 0.2, seed=3)

    assert (len(train), len(held)) == (80, 20)
    assert set(train.index) | set(held.index) == set(range(100))
    assert (split(data, 0.2, seed=3)[1].index == held.index).all()
    assert (split(data, 0.2, seed=4)[1].index != held.index).any()
    assert split(data, 0.0, seed=3)[1] is None
    assert split(numbered(1), 0.5, seed=3)[1] is None


def test_normalisation_is_found_on_the_rows_in_use():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((200, 3)) * [1, 10, 0] + [5, -3, 7]).astype(np.float32)
    data = Dataset.from_arrays(x, np.zeros(200, int)).take(np.arange(100))

    for how, low, high in (("standard", None, None), ("range", 0, 1)):
        found = find_normalizer(data, how)
        out = np.empty((100, 3), np.float32)
        found.apply(x[:100], out)
        if low is None:
            np.testing.assert_allclose(out[:, :2].mean(0), 0, atol=1e-5)
            np.testing.assert_allclose(out[:, :2].std(0), 1, atol=1e-5)
        else:
            np.testing.assert_allclose([out[:, :2].min(), out[:, :2].max()], [low, high], atol=1e-6)
        np.testing.assert_allclose(out[:, 2], 0, atol=1e-6)  # it never changes


def test_large_numbers_that_differ_little_keep_their_spread():
    x = (1e6 + np.arange(8.0)).reshape(8, 1)
    found = find_normalizer(Dataset.from_arrays(x, np.zeros(8, int)), "standard")

    assert found.scale[0] == pytest.approx(1 / np.arange(8.0).std(), rel=1e-4)


def test_bytes_are_divided_by_255_and_other_numbers_left_alone():
    bytes_ = Dataset.from_arrays(np.full((2, 3), 255, np.uint8), np.zeros(2, int))
    out = np.empty((2, 3), np.float32)
    find_normalizer(bytes_, "auto").apply(bytes_.inputs, out)

    assert (out == 1).all()
    assert find_normalizer(numbered(4), "auto").identity


def test_prefetch_is_bounded_and_in_order():
    made, gate = [], threading.Semaphore(0)

    def items():
        for i in range(100):
            made.append(i)
            gate.release()
            yield i

    with Prefetch(items(), ahead=2) as ready:
        for _ in range(3):
            gate.acquire(timeout=5)
        assert not gate.acquire(timeout=0.1)  # two ready and one in the making, no more
        assert [next(ready) for _ in range(50)] == list(range(50))
    assert len(made) <= 54
    assert threading.active_count() == 1 or all(t.name != "prefetch" for t in threading.enumerate())


def test_prefetch_raises_in_the_readers_thread():
    def items():
        yield 1
        raise ValueError("row 7 is bad")

    ready = Prefetch(items(), ahead=1)

    assert next(ready) == 1
    with pytest.raises(ValueError, match="row 7"):
        next(ready)
    assert list(ready) == []


def test_waiting_is_measured_by_the_clock_that_is_given():
    ticks = iter(range(1000))
    gate = threading.Event()

    def items():
        gate.wait(5)
        yield 1

    ready = Prefetch(items(), 1, clock=lambda: float(next(ticks)))
    threading.Timer(0.05, gate.set).start()

    assert next(ready) == 1
    assert ready.waited_s == 1.0
    ready.close()


def test_files_that_lie_on_disk_as_they_are_stay_there(tmp_path):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((500, 6)).astype(np.float32)
    table[:, 5] = np.arange(500) % 3
    np.save(tmp_path / "t.npy", table)
    images = rng.integers(0, 256, (50, 2, 3)).astype(np.uint8)
    write_idx(tmp_path / "train-images-idx3-ubyte", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte", (np.arange(50) % 4).astype(np.uint8))

    for path, rows in ((tmp_path / "t.npy", table[:, :5]), (tmp_path, images.reshape(50, 6))):
        data = load_data(path)
        assert isinstance(data.inputs, np.memmap)
        found = Batches(data, 16, no_normalizer(), seed=1).epoch()
        read = np.concatenate([batch.inputs.copy() for batch in found])
        np.testing.assert_array_equal(
            np.sort(read, axis=0), np.sort(rows.astype(np.float32), axis=0)
        )
        assert find_normalizer(data, "standard").shift.shape == (rows.shape[1],)
