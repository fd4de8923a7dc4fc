"""What every test sees: one BLAS thread, no AGENTD_* of the caller, a data directory of its own."""

import os
from pathlib import Path

# Before anything imports NumPy: small matrices are slower on many threads, and the tests of the
# daemon start processes that inherit this.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours = {name for name in os.environ if name.startswith("AGENTD_")}
    for name in ours - {"AGENTD_DATA"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
