"""An agent's own configuration file: read again when it changes, and of older releases."""

from pathlib import Path

import msgspec

from agentd.config import AgentConfig, dump_yaml, load_agent_config, resolve


def load(path: Path, text: str) -> AgentConfig:
    path.write_text(text, encoding="utf-8")
    return load_agent_config(path)


def test_a_configuration_is_read_anew_once_it_is_another(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    first = load(path, "seed: 1\n")

    again, changed = load_agent_config(path), load(path, "seed: 2\n")

    assert again is first
    assert changed.seed == 2


def test_an_agent_of_a_release_without_a_mean_of_weights_has_none(tmp_path: Path) -> None:
    now = resolve().config.agent
    text = dump_yaml(now)
    assert text.count("average: 2048") == 1

    of_now = load(tmp_path / "now.yaml", text)
    of_before = load(tmp_path / "before.yaml", text.replace("  average: 2048\n", ""))

    assert of_now == now
    assert of_before.dqn == msgspec.structs.replace(now.dqn, average=None)
