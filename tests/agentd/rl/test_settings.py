"""What is asked of an agent that exists: applied, or named; nothing else of it changes."""

import msgspec
import pytest

from agentd.config import ConfigError, agent_config_from_wire, dump_yaml, load_agent_config
from agentd.errors import Locked
from agentd.rl.settings import change_settings
from agentd.store import DirectoryLock

STORED = agent_config_from_wire({"seed": 1, "dqn": {"gamma": 0.9, "n_step": 2}})


@pytest.fixture
def agent(tmp_path):
    folder = tmp_path / "agents" / "a"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(dump_yaml(STORED))
    return folder / "config.yaml"


def test_what_can_change_is_applied_and_the_rest_is_named(tmp_path, agent):
    wanted = agent_config_from_wire({"seed": 7, "dqn": {"gamma": 0.5, "n_step": 4}})
    told = []
    asked = ["dqn.gamma", "dqn.n_step", "seed"]

    change_settings(tmp_path, "a", wanted, asked, told.append)

    dqn = msgspec.structs.replace(STORED.dqn, gamma=0.5)
    assert load_agent_config(agent) == msgspec.structs.replace(STORED, dqn=dqn)
    assert told[0] == "changed dqn.gamma: 0.5, before 0.9"
    assert [line.partition(";")[0] for line in sorted(told[1:])] == [
        "not changed dqn.n_step: 4 asked for, 2 in force",
        "not changed seed: 7 asked for, 1 in force",
    ]


def test_what_nobody_asked_for_stays(tmp_path, agent):
    told = []
    change_settings(tmp_path, "a", agent_config_from_wire({}), [], told.append)
    change_settings(tmp_path, "a", STORED, ["dqn", "seed"], told.append)
    change_settings(tmp_path, "new", STORED, ["seed"], told.append)
    assert (told, load_agent_config(agent)) == ([], STORED)


def test_a_daemon_s_agent_and_values_that_do_not_fit_are_refused(tmp_path, agent):
    small = agent_config_from_wire({"replay": {"capacity": 16}, "pace": {"learn_start": 16}})
    with pytest.raises(ConfigError, match="learning would never start"):
        change_settings(tmp_path, "a", small, ["replay.capacity"], print)
    with DirectoryLock(tmp_path / "lock", "it"), pytest.raises(Locked):
        change_settings(tmp_path, "a", STORED, ["seed"], print)
    assert load_agent_config(agent) == STORED
