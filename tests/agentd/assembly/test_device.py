"""The backend of a device by its name, with and without OpenCL."""

from __future__ import annotations

import logging

import pytest

from agentd.assembly import device as assembly
from agentd.assembly.device import backend_for
from agentd.cli import main
from agentd.engine.opencl_backend.errors import NoPlatformError
from agentd.errors import UsageError


@pytest.fixture
def no_platform(monkeypatch):
    asked = []

    def refuse(device):
        asked.append(device)
        raise NoPlatformError("PLATFORM_NOT_FOUND_KHR")

    monkeypatch.setattr(assembly, "make_backend", refuse)
    return asked


@pytest.mark.parametrize("device", ["opencl", "opencl:1", "opencl:nvidia"])
def test_without_any_opencl_the_cpu_computes_and_one_line_says_so(no_platform, caplog, device):
    with caplog.at_level(logging.WARNING):
        assert backend_for(device).name == "numpy"

    (record,) = caplog.records
    line = record.getMessage()
    assert "CPU" in line
    assert f"asked={device}" in line
    assert "PLATFORM_NOT_FOUND_KHR" in line


def test_a_device_that_must_be_there_is_an_error_where_it_is_not(no_platform, caplog):
    with pytest.raises(UsageError, match="no platform"):
        backend_for("opencl:1!")

    assert no_platform == ["opencl:1"]
    assert not caplog.records


def test_the_device_of_whole_numbers_is_for_players_alone(tmp_path, capsys):
    with pytest.raises(UsageError, match="cpu-int8 does not learn"):
        backend_for("cpu-int8")
    file = tmp_path / "play.yaml"
    file.write_text("device: cpu-int8\nagents: {pole: {learner: none}, kart: {learner: dqn}}\n")
    assert main(["serve", str(file), "--data-dir", str(tmp_path / "data")]) == 78
    assert "cpu-int8 only plays, and agent kart learns" in capsys.readouterr().err
