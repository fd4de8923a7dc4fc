"""Single durable files: the old content or the new one."""

import errno

import pytest

from agentd.errors import StorageError
from agentd.store import write_file


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
