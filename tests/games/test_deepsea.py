"""Deep sea, and the diagnostics made of Catch."""

import numpy as np
import pytest

from agentd import games
from agentd.games.deepsea import DeepSea
from agentd.games.game import Kind


def dive(game: DeepSea, right: list[bool]) -> list[float]:
    """The rewards of one dive that goes right where ``right`` says so."""
    game.reset()
    rewards, column = [], 0
    for row, go in enumerate(right):
        action = game.right[row, column] if go else 1 - game.right[row, column]
        frame = game.step(np.array([action]))
        column = min(column + 1, game.size - 1) if go else max(column - 1, 0)
        rewards.append(float(frame.reward[0]))
    assert frame.kind[0] == Kind.TERMINATED
    return rewards


def test_only_going_right_all_the_way_finds_the_treasure() -> None:
    game = DeepSea(1, np.random.default_rng(0))

    assert sum(dive(game, [True] * 10)) == pytest.approx(0.99)
    assert sum(dive(game, [True] * 9 + [False])) == pytest.approx(-0.009)
    assert sum(dive(game, [False] + [True] * 9)) == pytest.approx(-0.009)
    assert sum(dive(game, [False] * 10)) == 0


def test_training_and_evaluation_dive_into_the_same_sea() -> None:
    maps = [DeepSea(1, np.random.default_rng(seed)).right for seed in range(3)]

    assert (maps[0] == maps[1]).all()
    assert (maps[0] == maps[2]).all()
    assert 0.3 < maps[0].mean() < 0.7


@pytest.mark.parametrize("size", [1, 101])
def test_a_sea_of_no_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=r"want a size of 2\.\.100"):
        DeepSea(1, np.random.default_rng(0), size=size)


def test_noise_and_scale_change_the_rewards_and_nothing_else() -> None:
    names = ("catch", "catch-scale", "catch-noise")
    plain, scaled, noisy = (games.make(name, 64, seed=1) for name in names)
    one, two = plain.step(np.ones(64, int)), scaled.step(np.ones(64, int))
    np.testing.assert_array_equal(one.obs["board"], two.obs["board"])
    for _ in range(8):
        one, two = plain.step(np.ones(64, int)), scaled.step(np.ones(64, int))
    np.testing.assert_array_equal(1000 * one.reward, two.reward)

    noise = np.concatenate([noisy.step(np.ones(64, int)).reward[:64] for _ in range(8)])
    assert abs(noise.mean()) < 0.2
    assert 0.85 < noise.std() < 1.15


def test_idle_actions_stay_where_they_are() -> None:
    plain, idle = games.make("catch", 8, seed=1), games.make("catch-idle", 8, seed=1)
    for action in (0, 1, 2):
        np.testing.assert_array_equal(
            plain.step(np.full(8, action)).obs["board"], idle.step(np.full(8, action)).obs["board"]
        )
    np.testing.assert_array_equal(
        plain.step(np.ones(8, int)).obs["board"], idle.step(np.arange(22, 30)).obs["board"]
    )
    with pytest.raises(ValueError, match="30"):
        idle.step(np.full(8, 30))
