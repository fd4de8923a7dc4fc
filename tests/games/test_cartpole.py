from __future__ import annotations

import doctest

import numpy as np
import pytest

import agentd.games.cartpole
from agentd.games.cartpole import MAX_STEPS, THETA_LIMIT, X_LIMIT, CartPole
from agentd.games.game import Kind

gymnasium = pytest.importorskip("gymnasium")


@pytest.fixture
def game():
    return CartPole(16, np.random.default_rng(0))


def balance(state):
    """A hand-made controller that keeps the pole up for 500 steps."""
    return (state[:, 2] + 0.5 * state[:, 3] + 0.05 * state[:, 0] + 0.1 * state[:, 1] > 0).astype(
        np.int64
    )


def test_trajectories_equal_gymnasiums_from_the_same_state(game):
    rng = np.random.default_rng(1)
    env = gymnasium.make("CartPole-v1")
    for stream in range(game.streams):
        game.reset()
        env.reset(seed=stream)
        env.unwrapped.state = game.state[stream].copy()
        for _ in range(MAX_STEPS):
            action = int(rng.integers(2))
            frame = game.step(np.full(game.streams, action))
            obs, reward, terminated, truncated, _ = env.step(action)

            # Equal but for the last bit of a sine, which a processor may round its own way.
            np.testing.assert_allclose(frame.obs["state"][stream], obs, rtol=1e-6, atol=1e-7)
            assert frame.reward[stream] == reward
            assert (frame.kind[stream] == Kind.TERMINATED) == terminated
            assert (frame.kind[stream] == Kind.TRUNCATED) == truncated
            if terminated or truncated:
                break
        assert terminated


def test_a_long_balanced_episode_equals_gymnasiums_and_is_truncated_at_500_steps():
    game = CartPole(1, np.random.default_rng(3))
    env = gymnasium.make("CartPole-v1")
    env.reset(seed=0)
    env.unwrapped.state = game.state[0].copy()
    for step in range(1, MAX_STEPS + 1):
        action = balance(game.state)
        frame = game.step(action)
        obs, _, terminated, truncated, _ = env.step(int(action[0]))
        np.testing.assert_allclose(frame.obs["state"][0], obs, rtol=1e-5, atol=1e-6)
        assert not terminated
        assert truncated == (step == MAX_STEPS)

    assert frame.kind.tolist() == [Kind.TRUNCATED, Kind.FIRST]
    assert frame.reward.tolist() == [1, 0]


def test_one_pole_is_what_it_would_be_among_many(game):
    """A lone stream is stepped in Python's own numbers, and nobody can tell."""
    alone, rng = CartPole(1, np.random.default_rng(0)), np.random.default_rng(2)
    for _ in range(300):
        alone.state[0], alone.elapsed[0] = game.state[5], game.elapsed[5]
        actions = rng.integers(2, size=game.streams)
        one, many = alone.step(actions[5:6]), game.step(actions)
        assert (one.kind[0], one.reward[0]) == (many.kind[5], many.reward[5])
        np.testing.assert_allclose(one.obs["state"][0], many.obs["state"][5], rtol=1e-6, atol=1e-7)
        assert one.kind.dtype == many.kind.dtype
        assert (len(one.kind) == 2) == (one.kind[0] >= Kind.TERMINATED)


def test_first_states_are_small_and_the_limits_are_gymnasiums(game):
    env = gymnasium.make("CartPole-v1").unwrapped

    assert (np.abs(game.reset().obs["state"]) <= 0.05).all()
    assert (env.x_threshold, env.theta_threshold_radians) == (X_LIMIT, THETA_LIMIT)


def test_a_fall_on_the_last_step_is_a_fall(game):
    game.reset()
    game.elapsed[:] = MAX_STEPS - 1
    game.state[0, 0] = X_LIMIT + 1

    frame = game.step(np.zeros(16, np.int64))

    assert frame.kind[0] == Kind.TERMINATED
    assert (frame.kind[1:16] == Kind.TRUNCATED).all()


def test_the_final_observation_is_the_fallen_pole(game):
    game.reset()
    game.state[3] = (0, 0, THETA_LIMIT, 2)

    frame = game.step(np.ones(16, np.int64))

    assert frame.kind[3] == Kind.TERMINATED
    assert frame.obs["state"][3, 2] > THETA_LIMIT
    assert (frame.stream[16], frame.kind[16]) == (3, Kind.FIRST)
    assert (np.abs(frame.obs["state"][16]) <= 0.05).all()


@pytest.mark.parametrize("x", [-9.0, -2.4, 0.0, 2.4, 9.0])
@pytest.mark.parametrize("theta", [-0.5, 0.0, 0.5])
def test_render_draws_any_state(x, theta):
    lines = agentd.games.cartpole.render(np.array([x, 0, theta, 0]), width=31).splitlines()

    assert len(lines) == 4
    assert len(lines[2]) == 31
    assert lines[2].count("#") == 1


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(agentd.games.cartpole).failed == 0
