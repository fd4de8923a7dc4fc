"""Files that are taken away while they are in use are missed."""

import shutil

import pytest

from agentd.errors import StorageError
from agentd.store import Footing


def test_what_stays_is_not_missed_and_what_goes_is_named(tmp_path):
    folder, file = tmp_path / "a", tmp_path / "a" / "ring"
    folder.mkdir()
    file.write_bytes(b"1")
    footing = Footing(folder, file)
    file.write_bytes(b"22")
    (folder / "more").mkdir()
    assert footing.loss() == ""

    file.unlink()
    assert footing.loss() == f"{file} was removed while in use"
    file.write_bytes(b"1")
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="was removed while in use"):
        footing.require()
    (tmp_path / "elsewhere").rename(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    assert "while in use" in footing.loss()
