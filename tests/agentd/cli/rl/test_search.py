"""Search at play time: an agent's own values, looked ahead from, in games that can be simulated."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from agentd.client import Client
from agentd.client.rollout import join
from agentd.errors import MissingInput, UsageError
from agentd.games import make
from agentd.games.negamax import no_values
from agentd.rl.daemon import Daemon
from agentd.rl.frozen_copy import FrozenCopy, frozen_copy
from agentd.rl.lookahead import check_search, learned_values, play_ahead

Run = Callable[..., subprocess.CompletedProcess[str]]
LEARNERS = {"fresh": {}, "stacked": {"dqn": {"frame_stack": 2}}}


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FrozenCopy]]:
    """Copies of agents that have met Connect Four, and the values that they said of its start."""
    folder = tmp_path_factory.mktemp("data")
    game = make("connect4", 3, 0)
    with Daemon(folder) as daemon:
        where = (daemon.host, daemon.port)
        with Client.connect(where, role="admin") as admin:
            for name, config in LEARNERS.items():
                admin.create(name, config)
                with join(where, name, game, role="eval", explain=True) as client:
                    frame = game.reset()
                    step = (frame.obs, frame.reward, frame.kind, frame.stream, frame.mask)
                    said = client.step(*step).q
                    if name == "fresh":
                        np.savez(folder / "said.npz", q=said, board=frame.obs["board"])
                admin.save(name)
    with (
        frozen_copy(folder / "agents" / "fresh") as fresh,
        frozen_copy(folder / "agents" / "stacked") as stacked,
    ):
        yield {"fresh": fresh, "stacked": stacked, "said": FrozenCopy(folder, folder, "", 0)}


def test_values_are_those_that_the_server_answers_with(agents: dict[str, FrozenCopy]) -> None:
    said = np.load(agents["said"].data_dir / "said.npz")

    found = learned_values(agents["fresh"])({"board": said["board"]}, np.ones((3, 7), bool))

    np.testing.assert_allclose(found, said["q"], rtol=0, atol=1e-5)


def test_looking_ahead_wins_where_values_know_nothing() -> None:
    scores = play_ahead(no_values, "connect4-search", 12, seed=4, plies=4)

    assert len(scores.values) == 12
    assert scores.mean > 0.3
    assert play_ahead(no_values, "connect4-search", 12, seed=4, plies=4) == scores


def test_values_that_need_more_than_the_position_are_refused(
    agents: dict[str, FrozenCopy],
) -> None:
    with pytest.raises(UsageError, match="'stacked' sees more than the position"):
        learned_values(agents["stacked"])


def test_an_agent_without_a_game_has_no_values(tmp_path: Path) -> None:
    (tmp_path / "agents" / "idle").mkdir(parents=True)
    (tmp_path / "agents" / "idle" / "config.yaml").write_text("learner: dqn\n")

    with pytest.raises(MissingInput, match="'idle' has met no game yet"):
        learned_values(FrozenCopy(tmp_path, tmp_path / "agents" / "idle", "", 0))


@pytest.mark.parametrize("name", ["catch", "duel-script", "connect4", "gym:CartPole-v1"])
def test_a_game_that_cannot_be_simulated_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"--search: {name} cannot be simulated") as fault:
        check_search(name)

    assert "connect4-search4" in (fault.value.hint or "")


def test_all_of_it_by_the_command(run: Run, agents: dict[str, FrozenCopy]) -> None:
    data = str(agents["said"].data_dir)
    words = ("rl", "eval", "--data-dir", data, "--agent", "fresh", "--episodes", "4", "--json")

    done = run(*words, "--env", "connect4-random", "--search", "2")
    refused = run(*words, "--env", "catch", "--search", "2")

    assert done.returncode == 0, done.stderr
    assert '"search": 2' in done.stdout
    assert (refused.returncode, "cannot be simulated" in refused.stderr) == (2, True)


def test_a_level_plays_weaker_and_repeats_by_its_seed() -> None:
    game = ("connect4-search", 16)
    strong = play_ahead(no_values, *game, seed=4, plies=3)
    weak, again = (play_ahead(no_values, *game, seed=4, plies=3, level=0) for _ in range(2))

    assert play_ahead(no_values, *game, seed=4, plies=3, level=100) == strong
    assert weak.mean < strong.mean
    assert again == weak
