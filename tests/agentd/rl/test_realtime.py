"""A game that plays its answers late: which action is played when."""

import numpy as np
import pytest

from agentd.games import make
from agentd.games.cartpole import CartPole
from agentd.rl.realtime import DelayedGame


def test_an_answer_is_played_so_many_rows_later_and_never_in_the_next_episode():
    plain, late = make("cartpole", 3, 5), DelayedGame(make("cartpole", 3, 5), 2)
    rng, begun = np.random.default_rng(0), np.zeros(3, int)
    given: list[np.ndarray] = []
    np.testing.assert_array_equal(late.reset().obs["state"], plain.reset().obs["state"])
    ends = 0
    for t in range(200):
        given.append(rng.integers(0, 2, 3).astype(np.int32))
        due = np.array([given[t - 2][s] if t - 2 >= begun[s] else 0 for s in range(3)], np.int32)

        frame, expected = late.step(given[-1]), plain.step(due)

        np.testing.assert_array_equal(frame.obs["state"], expected.obs["state"])
        new = frame.stream[frame.kind == 0]
        begun[new] = t + 1
        ends += len(new)
    assert ends > 5


def test_a_game_with_masks_is_not_played_late():
    with pytest.raises(ValueError, match="masks"):
        DelayedGame(make("connect4", 2, 0), 1).reset()


def test_cartpole_at_twice_the_rate_is_the_same_game():
    slow, fast = (CartPole(2, np.random.default_rng(0)) for _ in range(2))
    fast.tau, fast.longest = slow.tau / 2, 2 * slow.longest
    for t in range(12):
        push = np.array([t % 2, 1 - t % 2])
        slow.step(push)
        fast.step(push)
        fast.step(push)
    np.testing.assert_allclose(fast.state, slow.state, atol=0.06)
    assert not np.array_equal(fast.state, slow.state)
