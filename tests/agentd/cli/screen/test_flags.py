"""Flags of a command become values of the configuration."""

import json
from pathlib import Path

import pytest

from agentd.cli.screen.flags import ServerFlags, read_settings
from agentd.errors import UsageError


def test_flags_become_settings() -> None:
    flags = ServerFlags(
        port=0,
        data_dir=Path("d"),
        device="cpu",
        no_http=True,
        settings=["limits.window=16", "unix=/tmp/7", "agent.dqn.target={tau: 1e-3}"],
    )

    assert flags.values(workers=None) == {
        "port": 0,
        "data_dir": "d",
        "device": "cpu",
        "http_port": None,
        "limits.window": 16,
        "unix": "/tmp/7",
        "agent.dqn.target": {"tau": 0.001},
    }


@pytest.mark.parametrize("setting", ["limits.window", "=3"])
def test_a_setting_without_key_or_value_is_a_usage_error(setting: str) -> None:
    with pytest.raises(UsageError, match="want KEY=VALUE"):
        read_settings([setting])


def test_home_is_expanded_where_a_shell_did_not(run, tmp_path):
    (tmp_path / "a.yaml").write_text("port: 1\n")
    done = run("config", "show", "~/a.yaml", "--data-dir=~/d", "--json", HOME=str(tmp_path))
    values = json.loads(done.stdout)
    assert values["data_dir"]["value"] == str(tmp_path / "d")
    assert values["port"]["value"] == 1
