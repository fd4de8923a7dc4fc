"""An agent's own configuration file: read again when it changes, and of older releases."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agentd.config import dump_yaml, load_agent_config, resolve

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_configuration_is_read_anew_once_it_is_another(write: Write) -> None:
    path = write("seed: 1\n")
    first = load_agent_config(path)

    again, changed = load_agent_config(path), load_agent_config(write("seed: 2\n"))

    assert again is first
    assert changed.seed == 2


def test_an_agent_of_a_release_without_a_mean_of_weights_has_none(write: Write) -> None:
    now = resolve().config.agent
    text = dump_yaml(now)
    assert text.count("average: 2048") == 1

    of_now = load_agent_config(write(text))
    of_before = load_agent_config(write(text.replace("  average: 2048\n", "")))

    assert of_now == now
    assert of_before.dqn == msgspec.structs.replace(now.dqn, average=None)
