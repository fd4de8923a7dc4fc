"""Our games as Gymnasium's environments: its own checker, and the games themselves beside them."""

import warnings

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="needs the extra gym")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from agentd.cli import main  # noqa: E402
from agentd.games import GAMES, make  # noqa: E402
from agentd.rl import envs  # noqa: E402

MASKED = ("agentd/ConnectFourRandom-v0", "agentd/Snake-v0")


@pytest.mark.parametrize("name", sorted(envs.IDS))
def test_gymnasiums_checker_finds_nothing(name):
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        env = gymnasium.make(name)
        check_env(env.unwrapped)

    # That a number has no bound is no fault; all else that it warns of is one.
    assert [str(w.message) for w in noted if "infinity" not in str(w.message)] == []


def test_every_game_for_one_side_has_an_id():
    games = {name for name in GAMES if make(name).spec.seats == 1}

    assert set(envs.IDS.values()) == games - {"connect4"}  # it changes sides in turn


@pytest.mark.parametrize("name", ["agentd/Catch-v0", *MASKED])
def test_an_episode_is_the_games_own(name):
    env, game = gymnasium.make(name), make(envs.IDS[name], 1, seed=7)
    obs, info = env.reset(seed=7)
    frame, (part,) = game.reset(), game.spec.observation
    for _ in range(120):
        assert np.array_equal(obs, frame.obs[part][-1])
        assert ("action_mask" in info) == game.spec.masked
        if game.spec.masked:
            assert np.array_equal(info["action_mask"], frame.mask[-1])
        action = 0 if frame.mask is None else int(frame.mask[-1].argmax())
        frame = game.step(np.array([action]))
        obs, reward, terminated, truncated, info = env.step(action)
        assert np.array_equal(obs, frame.obs[part][0])
        assert (reward, terminated or truncated) == (frame.reward[0], len(frame.kind) == 2)
        if terminated or truncated:
            obs, info = env.reset()


def test_an_illegal_action_is_told_and_a_legal_one_played():
    env = gymnasium.make("agentd/Snake-v0")
    _, info = env.reset(seed=1)
    (wrong, *_) = np.flatnonzero(info["action_mask"] == 0)

    _, _, _, _, info = env.step(wrong)

    assert info["illegal"] is True
    legal = int(info["action_mask"].argmax())
    assert env.step(legal)[4]["illegal"] is False


def test_nothing_is_played_before_a_reset_and_after_an_end():
    env = gymnasium.make("agentd/Catch-v0").unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    while not env.step(0)[2]:
        pass
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


def test_the_id_with_its_module_is_an_environment_of_the_command_line():
    assert main(["check-env", "agentd.rl.envs:agentd/Catch-v0", "--steps", "100"]) == 0
