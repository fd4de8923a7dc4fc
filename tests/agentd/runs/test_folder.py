"""Run folders: what is saved comes back, whatever happens while saving."""

import errno
from pathlib import Path

import numpy as np
import pytest

from agentd.errors import Locked, MissingInput, StorageError, UsageError
from agentd.runs import MetricsLog, Run, fingerprint, read_metrics
from agentd.store import Files, NoValidCheckpoint

SOURCE = Path("data.npz")


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", b"layers: []\n")


def test_a_snapshot_goes_on_bit_for_bit(run, make, data, spec):
    whole = make()
    whole.fit(data, epochs=4)
    first = make()
    first.fit(data, epochs=2)
    run.save(first, spec, fingerprint(data, SOURCE))

    found = run.load()
    second = make()
    second.set_state(found.arrays, found.scalars)
    second.fit(data, epochs=4)

    assert (found.spec, found.is_class) == (spec, True)
    assert (found.weights == first.weights).all()
    assert (found.normalizer.shift == first.normalizer.shift).all()
    assert (second.weights == whole.weights).all()


def test_only_the_newest_stay_and_the_best_is_kept_apart(run, make, data, spec):
    trainer = make()
    facts = fingerprint(data, SOURCE)
    for epoch in range(1, 5):
        trainer.fit(data, epochs=epoch)
        run.save(trainer, spec, facts)
        if epoch in (1, 2):
            best = trainer.weights
            run.save(trainer, spec, facts, best=True)

    assert len(list((run.path / "checkpoints").iterdir())) == 2
    assert len(list((run.path / "best").iterdir())) == 1
    assert (run.load(best=True).weights == best).all()
    assert (run.load().weights == trainer.weights).all()


def test_a_damaged_snapshot_falls_back_and_none_left_is_told(run, make, data, spec):
    trainer = make()
    kept = []
    for epoch in (1, 2):
        trainer.fit(data, epochs=epoch)
        run.save(trainer, spec, fingerprint(data, SOURCE))
        kept.append(trainer.weights)
    newest, oldest = sorted((run.path / "checkpoints").iterdir(), reverse=True)

    for path, then in ((newest, kept[0]), (oldest, None)):
        file = path / "weights.safetensors"
        file.write_bytes(file.read_bytes()[:-1])
        if then is not None:
            assert (run.load().weights == then).all()
    with pytest.raises(NoValidCheckpoint):
        run.load()


class FailingFiles(Files):
    """Fails the N-th call with a full disk."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def _count(self):
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, "no space left on device")

    def create(self, path):
        self._count()
        return super().create(path)

    def write(self, fd, data):
        self._count()
        return super().write(fd, data)

    def sync(self, fd):
        self._count()
        super().sync(fd)

    def rename(self, old, new):
        self._count()
        super().rename(old, new)


@pytest.mark.parametrize("nth", range(1, 12))
def test_a_full_disk_leaves_the_last_good_state(run, make, data, spec, nth):
    trainer = make()
    trainer.fit(data, epochs=1)
    run.save(trainer, spec, fingerprint(data, SOURCE))
    before = trainer.weights
    trainer.fit(data, epochs=2)

    files = FailingFiles(nth)
    try:
        Run(run.path, files).save(trainer, spec, fingerprint(data, SOURCE))
    except StorageError:
        assert (Run.open(run.path).load().weights == before).all()
    else:
        assert (Run.open(run.path).load().weights == trainer.weights).all()


def test_one_trainer_a_run(run):
    with run.lock(), pytest.raises(Locked, match="in use by process"):
        run.lock().acquire()


def test_folders_that_hold_something_are_left_alone(run, tmp_path, make, data, spec):
    with pytest.raises(MissingInput, match="no checkpoint yet"):
        run.load()
    Run.create(run.path, b"")  # killed before its first save, it may begin anew
    run.save(make(), spec, fingerprint(data, SOURCE))
    with pytest.raises(UsageError, match="holds a run already"):
        Run.create(run.path, b"")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="not empty"):
        Run.create(tmp_path / "other", b"")
    with pytest.raises(MissingInput, match="no run in"):
        Run.open(tmp_path / "none")


def test_data_is_told_apart(data):
    same = fingerprint(data, SOURCE)
    other = fingerprint(data.__class__.from_arrays(data.inputs + 1, data.targets), SOURCE)

    assert same == fingerprint(data, SOURCE)
    assert same["crc32"] != other["crc32"]


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for steps in (10, 20, 30):
        log.append({"steps": steps, "loss": float(np.float64(1 / steps)), "odd": float("nan")})
    with log.path.open("a") as file:
        file.write('{"steps": 40, "lo')  # killed in the middle of a line

    assert [line["steps"] for line in read_metrics(log.path)] == [10, 20, 30]
    log.cut(20)
    assert [line["steps"] for line in read_metrics(log.path)] == [10, 20]
    assert "odd" not in read_metrics(log.path)[0]
    assert read_metrics(tmp_path / "none") == []
