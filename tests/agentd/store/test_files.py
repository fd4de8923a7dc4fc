"""Single durable files: the old content or the new one."""

import errno

import pytest

from agentd.errors import StorageError
from agentd.store import Files, write_file


def test_the_last_content_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "config.yaml"
    for content in (b"one", b"", b"three" * 9999):
        write_file(path, content)
        assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("how", [errno.ENOSPC, errno.EIO, "short"])
def test_a_write_that_fails_leaves_the_old_content(store, how):
    path = store.root / "file"
    for n in range(1, 30):
        write_file(path, b"old")
        files = store.failing(n, how)
        try:
            write_file(path, b"new content", files)
        except StorageError:
            renamed = files.calls[n - 1] == "sync_dir" and "rename" in files.calls
            assert path.read_bytes() == (b"new content" if renamed else b"old")
        else:
            assert path.read_bytes() == b"new content"
            if len(files.calls) < n:
                return
    raise AssertionError("every call failed")


def test_a_folder_whose_name_was_not_synced_is_synced_by_the_next_who_needs_it(store):
    class Refused(Files):
        def __init__(self, refuses: bool) -> None:
            self.refuses, self.synced = refuses, []

        def sync_dir(self, path):
            if self.refuses:
                raise OSError(errno.EIO, "Input/output error")
            self.synced.append(path)

    Files().ensure_dir(store.root)
    folder = store.root / "new"
    with pytest.raises(OSError, match="Input/output"):
        Refused(True).ensure_dir(folder)
    assert folder.is_dir()
    then, after = Refused(False), Refused(False)
    then.ensure_dir(folder)
    after.ensure_dir(folder)

    assert store.root in then.synced
    assert not after.synced


def test_a_folder_of_someone_else_is_synced_once(store):
    synced = []

    class Watched(Files):
        def sync_dir(self, path):
            synced.append(path)

    (store.root / "theirs").mkdir()
    for _ in range(2):
        Watched().ensure_dir(store.root / "theirs")

    assert synced.count(store.root) == 1
