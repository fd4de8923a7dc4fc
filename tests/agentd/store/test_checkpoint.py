"""Checkpoints: what is written is read, what is damaged is noticed, what fails fails whole."""

import errno
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from agentd.errors import ExitCode, StorageError, TrainingDiverged
from agentd.store import (
    NoValidCheckpoint,
    UnknownCheckpoint,
    list_checkpoints,
    read_checkpoint,
    sweep,
    write_checkpoint,
)

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = ("manifest.json", "weights.safetensors", "state.safetensors")


def check(store, found, step):
    weights, state = store.arrays(step)
    assert found.step == step
    assert found.facts["rng"] == 2**127 + step
    for wanted, got in ((weights, found.weights), (state, found.state)):
        assert wanted.keys() == got.keys()
        for name, array in wanted.items():
            assert got[name].dtype == array.dtype
            assert got[name].tobytes() == array.tobytes()


def test_what_was_written_is_read(store):
    assert read_checkpoint(store.folder) is None
    name = store.save(1000)

    check(store, read_checkpoint(store.folder), 1000)
    check(store, read_checkpoint(store.folder, name), 1000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["weights", "state"])
def test_a_number_that_is_not_finite_is_never_written(store, bad, part):
    store.save(1000)
    arrays = {"weights": {"w": np.zeros(3, np.float32)}, "state": {"m": np.zeros(3)}}
    next(iter(arrays[part].values()))[1] = bad

    with pytest.raises(TrainingDiverged, match=r"1 of 3 numbers of `[wm]` not finite"):
        write_checkpoint(store.folder, 2000, {}, **arrays, keep=1)

    check(store, read_checkpoint(store.folder), 1000)


def test_empty_state_and_strided_arrays_are_kept(store):
    name = write_checkpoint(store.folder, 1, {}, {"w": np.arange(12.0).reshape(3, 4).T}, {}, keep=1)

    found = read_checkpoint(store.folder, name)
    assert found.state == {}
    np.testing.assert_array_equal(found.weights["w"], np.arange(12.0).reshape(3, 4).T)


def test_the_newest_is_the_last_written_even_if_its_step_is_lower(store):
    names = [store.save(step) for step in (3000, 1000, 1000)]

    assert list_checkpoints(store.folder) == names[::-1]
    check(store, read_checkpoint(store.folder), 1000)


def test_the_newest_of_each_kind_are_kept(store):
    asked_for = [store.save(step, kept=True, keep=2) for step in (1, 2, 3)]
    by_itself = [store.save(step, keep=2) for step in (4, 5, 6, 7)]

    assert list_checkpoints(store.folder) == [*by_itself[:-3:-1], *asked_for[:0:-1]]
    assert {path.name for path in store.folder.iterdir()} == set(list_checkpoints(store.folder))


def test_facts_that_json_cannot_hold_are_refused(store):
    with pytest.raises(ValueError, match="JSON"):
        write_checkpoint(store.folder, 1, {"x": float("nan")}, {}, {}, keep=1)
    assert list_checkpoints(store.folder) == []


def test_a_link_out_of_the_folder_is_not_followed(store):
    name = store.save(1)
    path = store.folder / name / "weights.safetensors"
    path.rename(store.root / "elsewhere")
    path.symlink_to(store.root / "elsewhere")

    with pytest.raises(NoValidCheckpoint, match="plain file"):
        read_checkpoint(store.folder)


# -- damage (D3) -----------------------------------------------------------------------------------


def truncations(size):
    edges = {0, 1, size - 1} | {4096 * k + d for k in range(size // 4096 + 1) for d in (-1, 0, 1)}
    return sorted(at for at in edges if 0 <= at < size)


@pytest.fixture
def two(store):
    """Two checkpoints, the newer one with files of several pages."""
    store.save(1)
    rng = np.random.default_rng(2)
    weights = {"w": rng.standard_normal((40, 80)).astype(np.float32)}
    store.newer = store.folder / write_checkpoint(
        store.folder, 2, {"list": list(range(2000))}, weights, {"m": weights["w"]}, keep=3
    )
    return store


def assert_falls_back(store, caplog, reason=""):
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        found = read_checkpoint(store.folder)
    check(store, found, 1)
    assert [name for name, _ in found.skipped] == [store.newer.name]
    assert reason in found.skipped[0][1]
    assert store.newer.name in caplog.text


@pytest.mark.parametrize("file", FILES)
def test_truncated_anywhere(two, caplog, file):
    whole = (two.newer / file).read_bytes()
    assert len(whole) > 8192
    for size in truncations(len(whole)):
        (two.newer / file).write_bytes(whole[:size])
        assert_falls_back(two, caplog)


@pytest.mark.parametrize("file", FILES)
def test_one_flipped_bit_anywhere(two, caplog, file):
    whole = (two.newer / file).read_bytes()
    rng = np.random.default_rng(0)
    for bit in rng.choice(8 * len(whole), 100, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (two.newer / file).write_bytes(damaged)
        assert_falls_back(two, caplog)


def test_without_checksums_a_flipped_bit_would_go_unnoticed(two, monkeypatch):
    monkeypatch.setattr("agentd.store.manifest.file_entry", lambda data: {"size": len(data)})
    name = write_checkpoint(two.folder, 3, {}, {"w": np.zeros(9)}, {}, keep=3)
    path = two.folder / name / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")

    assert read_checkpoint(two.folder).name == name


@pytest.mark.parametrize("file", FILES)
def test_longer_missing_or_twice(two, caplog, file):
    whole = (two.newer / file).read_bytes()
    (two.newer / file).write_bytes(whole + b"\0")
    assert_falls_back(two, caplog)
    (two.newer / file).unlink()
    assert_falls_back(two, caplog, "missing")
    (two.newer / file).mkdir()
    assert_falls_back(two, caplog, "plain file")


def test_an_extra_file(two, caplog):
    (two.newer / "code.pkl").write_bytes(b"")
    assert_falls_back(two, caplog, "too many: code.pkl")


def test_swapped_files(two, caplog):
    files = [two.newer / name for name in FILES[1:]]
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents[::-1], strict=True):
        file.write_bytes(content)
    assert_falls_back(two, caplog, "checksum")


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_another_checkpoint(two, caplog, file):
    older = two.folder / list_checkpoints(two.folder)[1]
    shutil.copy(older / file, two.newer / file)
    assert_falls_back(two, caplog)


def test_a_checkpoint_under_another_name(two, caplog):
    moved = two.newer.with_name("000009-000000000009")
    two.newer.rename(moved)
    two.newer = moved
    assert_falls_back(two, caplog, "the manifest is that of")


def test_none_left_is_66_and_an_unknown_one_is_named(two):
    for name in list_checkpoints(two.folder):
        (two.folder / name / "manifest.json").write_bytes(b"{}")

    with pytest.raises(NoValidCheckpoint, match="none of 2") as error:
        read_checkpoint(two.folder)
    assert error.value.exit_code == ExitCode.MISSING
    for name in ("000009-000000000009", "../secrets", two.newer.name):
        with pytest.raises(UnknownCheckpoint, match=name):
            read_checkpoint(two.folder, name)


# -- failing disks (D4) ----------------------------------------------------------------------------


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize("how", [errno.ENOSPC, errno.EIO, "short"])
def test_the_nth_call_fails_for_every_n(store, how, for_good):
    store.save(1)
    older = list_checkpoints(store.folder)
    n = 0
    while True:
        n += 1
        files = store.failing(n, how, for_good)
        try:
            name = store.save(2, files=files, keep=1)
        except StorageError:
            found = read_checkpoint(store.folder)
            check(store, found, 2 if files.calls[n - 1] == "sync_dir" and found.step == 2 else 1)
            assert list_checkpoints(store.folder)[-1:] == older
            for extra in list_checkpoints(store.folder)[:-1]:
                shutil.rmtree(store.folder / extra)  # renamed, not acknowledged
            sweep(store.folder)
            continue
        check(store, read_checkpoint(store.folder, name), 2)  # acknowledged: it must be there
        sweep(store.folder)
        shutil.rmtree(store.folder / name)
        if len(files.calls) < n:
            break
        if not list_checkpoints(store.folder):
            store.save(1)
        older = list_checkpoints(store.folder)
    assert n > 15


@pytest.mark.parametrize("how", [errno.EIO, errno.EACCES])
def test_a_disk_that_cannot_be_read_is_no_empty_disk(store, how):
    store.save(1)
    store.save(2)
    for n in range(1, 40):
        files = store.failing(n, how, for_good=True)
        try:
            found = read_checkpoint(store.folder, files=files)
        except (StorageError, NoValidCheckpoint):
            continue
        check(store, found, 2)
        if len(files.calls) < n:
            return
    raise AssertionError("reading never came to its end")


# -- power loss (D2) -------------------------------------------------------------------------------

LEFT = {
    "only what was synced": lambda durable, volatile: durable,
    "names but not contents": lambda d, v: v if isinstance(v, dict) else d,
    "contents but not names": lambda d, v: d if isinstance(v, dict) else v,
    "half of the contents": lambda d, v: v if isinstance(v, dict) else max(d, v[: len(v) // 2]),
    "everything": lambda durable, volatile: volatile,
}


def lose_power_everywhere(store, files, left):
    """Write four checkpoints, then check the disk as it is after each operation and no further."""
    files.root.mkdir()
    acknowledged = []
    for step in (1, 2, 3, 4):
        store.save(step, files.root / "agent" / "checkpoints", keep=2, files=files)
        acknowledged.append((len(files.log), step))
    for n in range(len(files.log) + 1):
        lost = store.root / "lost"
        store.disk_after(files.log[:n], files.root, lost, LEFT[left])
        found = read_checkpoint(lost / "agent" / "checkpoints")
        newest = max((step for at, step in acknowledged if at <= n), default=0)
        got = 0 if found is None else found.step
        assert newest <= got <= newest + 1
        if found is not None:
            check(store, found, got)


@pytest.mark.parametrize("left", LEFT)
def test_power_loss_after_every_operation(store, left):
    lose_power_everywhere(store, store.forgetful(store.root / "disk"), left)


@pytest.mark.parametrize("forgotten", ["sync", "sync_dir"])
def test_the_power_loss_test_notices_a_sync_that_is_left_out(store, forgotten):
    class Lazy(store.forgetful):
        pass

    setattr(Lazy, forgotten, lambda self, target: None)
    left = "names but not contents" if forgotten == "sync" else "only what was synced"

    with pytest.raises((AssertionError, NoValidCheckpoint)):
        lose_power_everywhere(store, Lazy(store.root / "disk"), left)


def test_the_order_is_write_sync_rename_sync(store):
    root = store.root / "disk"
    root.mkdir()
    files = store.forgetful(root)
    store.save(1, root, files=files)

    steps = [operation for operation, *_ in files.log]
    one = ["create", "write", "sync"]
    assert steps == ["make_dir", *one, *one, *one, "sync_dir", "rename", "sync_dir"]
    assert [path.name for operation, path, *_ in files.log if operation == "sync_dir"] == [
        ".new-000001-000000000001",
        "disk",
    ]


# -- formats (D6) ----------------------------------------------------------------------------------


def test_the_golden_checkpoint_of_format_1_loads_for_ever():
    found = read_checkpoint(GOLDEN / "format-1")

    assert (found.step, found.name) == (1234, "000001-000000001234")
    assert found.facts["learner"] == {"updates": 1234, "t": 1234, "inc": hex(2**100 + 1)}
    np.testing.assert_array_equal(
        found.weights["dense0.w"], np.arange(6, dtype=np.float32).reshape(2, 3) / 7
    )
    np.testing.assert_array_equal(found.state["target"], np.linspace(-1, 1, 9, dtype=np.float32))


@pytest.mark.parametrize("file", FILES)
def test_the_golden_checkpoint_without_one_of_its_files_does_not(tmp_path, file):
    shutil.copytree(GOLDEN / "format-1", tmp_path / "it")
    (tmp_path / "it" / "000001-000000001234" / file).unlink()

    with pytest.raises(NoValidCheckpoint, match=file):
        read_checkpoint(tmp_path / "it")


def test_a_format_from_the_future_is_refused_by_name(store, monkeypatch):
    monkeypatch.setattr("agentd.store.manifest.FORMAT", 2)
    store.save(1)
    monkeypatch.undo()

    with pytest.raises(NoValidCheckpoint, match="want format 1, got 2"):
        read_checkpoint(store.folder)
