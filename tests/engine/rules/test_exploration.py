"""ε over time and streams, counter-based draws, and masked choices."""

import msgspec
import numpy as np
import pytest

from agentd.engine.rules.exploration import (
    ExplorationConfig,
    act,
    act_boltzmann,
    pick_legal,
    uniforms,
)


def test_epsilon_falls_linearly_and_stays():
    exploration = ExplorationConfig(start=1.0, end=0.1, steps=100)

    values = [exploration.epsilon(step) for step in (-5, 0, 50, 100, 1_000_000)]

    assert values == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])


def test_zero_steps_mean_the_end_at_once():
    assert ExplorationConfig(start=1.0, end=0.1, steps=0).epsilon(0) == 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 1.5},
        {"end": -0.1},
        {"steps": -1},
        {"spread": -1.0},
        {"spread": np.nan},
        {"kind": "boltzmann", "spread": 1.0},
    ],
)
def test_values_outside_their_range_are_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, ExplorationConfig)


def test_spread_gives_each_stream_its_own_epsilon():
    exploration = ExplorationConfig(start=0.4, end=0.4, steps=1, spread=7.0)

    epsilon = exploration.row_epsilon(0, np.array([0, 1, 2, 0], np.uint32), 3)

    np.testing.assert_allclose(epsilon, [0.4, 0.4**4.5, 0.4**8, 0.4])


def test_without_spread_all_streams_share_epsilon():
    epsilon = ExplorationConfig(start=1.0, end=0.0, steps=10).row_epsilon(5, np.arange(3), 3)

    assert epsilon.tolist() == [0.5, 0.5, 0.5]


def test_uniforms_depend_on_seed_and_row_alone():
    together = uniforms(7, np.arange(1_000, 1_064), 3)
    alone = uniforms(7, np.array([1_010]), 3)
    fewer = uniforms(7, np.arange(1_000, 1_064), 1)
    other = uniforms(8, np.arange(1_000, 1_064), 3)

    assert (alone[0] == together[10]).all()
    assert (fewer[:, 0] == together[:, 0]).all()
    assert (other != together).all()


def test_uniforms_are_the_documented_numbers():
    """SplitMix64 in plain integers: the draws are part of what a replayed run must repeat."""
    word = (1 << 64) - 1

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
        return z ^ (z >> 31)

    gamma = 0x9E3779B97F4A7C15
    seed, row, draw = 2**63 + 5, 2**40 + 3, 1
    of_row = mix((row * gamma + mix((seed + gamma) & word)) & word)
    expected = (mix((of_row + (draw + 1) * gamma) & word) >> 11) * 2.0**-53

    assert uniforms(seed, np.array([row]), 2)[0, draw] == expected


def test_uniforms_look_uniform_and_unrelated():
    u = uniforms(0, np.arange(100_000), 2)

    assert u.min() >= 0.0
    assert u.max() < 1.0
    counts = np.histogram(u[:, 0], bins=50, range=(0, 1))[0]
    chi2 = ((counts - 2_000) ** 2 / 2_000).sum()
    assert 20 < chi2 < 95  # 49 degrees of freedom, p beyond 1e-4 on both sides
    correlations = [
        np.corrcoef(u[:, 0], u[:, 1])[0, 1],
        np.corrcoef(u[1:, 0], u[:-1, 0])[0, 1],
        np.corrcoef(u[:, 0], uniforms(1, np.arange(100_000), 1)[:, 0])[0, 1],
    ]
    assert np.abs(correlations).max() < 0.015


def test_greedy_rows_take_the_best_legal_action():
    q = np.array([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]], np.float32)
    mask = np.array([[1, 1, 1], [1, 0, 1]], np.uint8)

    action, explored = act(q, mask, (3,), np.zeros(2), np.zeros((2, 2)))

    assert action.tolist() == [[1], [2]]
    assert action.dtype == np.int32
    assert explored.tolist() == [0, 0]
    assert explored.dtype == np.uint8


def test_exploration_is_drawn_for_each_row():
    q = np.tile(np.array([[0.0, 1.0]], np.float32), (4, 1))
    u = np.array([[0.1, 0.0], [0.3, 0.0], [0.1, 0.9], [0.1, 0.0]])

    action, explored = act(q, None, (2,), np.array([0.2, 0.2, 0.2, 0.05]), u)

    assert explored.tolist() == [1, 0, 1, 0]
    assert action[:, 0].tolist() == [0, 1, 1, 1]


def test_epsilon_zero_never_explores_and_one_always_does():
    u = uniforms(3, np.arange(5_000), 2)
    q = np.zeros((5_000, 4), np.float32)

    assert not act(q, None, (4,), np.zeros(5_000), u)[1].any()
    assert act(q, None, (4,), np.ones(5_000), u)[1].all()


def test_branches_choose_independently():
    q = np.array([[0, 1, 5, 4, 3]] * 2_000, np.float32)
    u = uniforms(1, np.arange(2_000), 3)
    mask = np.array([[1, 1, 1, 0, 1]] * 2_000, np.uint8)

    greedy, _ = act(q, mask, (2, 3), np.zeros(2_000), u)
    random, _ = act(q, mask, (2, 3), np.ones(2_000), u)

    assert (greedy == [1, 0]).all()
    pairs, counts = np.unique(random, axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 0], [0, 2], [1, 0], [1, 2]]
    assert counts.min() > 400


def test_random_legal_choices_are_legal_and_equally_likely():
    rng = np.random.default_rng(0)
    mask = (rng.random((30_000, 5)) < 0.5).astype(np.uint8)
    mask[:, 3] |= ~mask.any(axis=1)
    u = uniforms(2, np.arange(30_000), 1)[:, 0]

    choice = pick_legal(u, mask)

    assert mask[np.arange(30_000), choice].all()
    pattern = np.array([1, 0, 1, 1, 0], np.uint8)
    chosen = choice[(mask == pattern).all(axis=1)]
    counts = np.bincount(chosen, minlength=5)
    assert counts[[1, 4]].sum() == 0
    assert counts[[0, 2, 3]].min() > 0.25 * len(chosen)


@pytest.mark.parametrize("u", [0.0, np.nextafter(1.0, 0.0)])
def test_the_ends_of_the_unit_interval_stay_in_range(u):
    mask = np.array([[0, 1, 0, 1, 0]], np.uint8)
    q = np.zeros((1, 5), np.float32)

    free, _ = act(q, None, (5,), np.ones(1), np.array([[0.0, u]]))
    masked, _ = act(q, mask, (5,), np.ones(1), np.array([[0.0, u]]))

    assert free[0, 0] == (0 if u == 0.0 else 4)
    assert masked[0, 0] == (1 if u == 0.0 else 3)


def test_a_temperature_falls_as_epsilon_does_and_may_be_large():
    exploration = ExplorationConfig(kind="boltzmann", start=20.0, end=0.5, steps=10)

    assert exploration.temperature(5) == pytest.approx(10.25)
    assert exploration.epsilon(5) == 0.0
    assert ExplorationConfig(kind="noisy").epsilon(0) == 0.0
    assert ExplorationConfig(start=0.3, end=0.3).temperature(0) == 0.0


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_boltzmann_draws_legal_actions_in_proportion(temperature):
    """Two branches of 3 and 2 actions; action 1 of the first is illegal."""
    values, mask = np.array([0.0, 5.0, 1.0, -1.0, 0.5]), np.array([1, 0, 1, 1, 1], np.uint8)
    n = 40_000
    q, masks = np.tile(values, (n, 1)), np.tile(mask, (n, 1))

    action, explored = act_boltzmann(q, masks, (3, 2), temperature, uniforms(3, np.arange(n), 3))

    for branch, part in enumerate((values[[0, 2]], values[3:])):
        p = np.exp(part / temperature)
        share = np.bincount(action[:, branch], minlength=3) / n
        np.testing.assert_allclose(share[share > 0], p / p.sum(), atol=0.01)
    assert not (action[:, 0] == 1).any()
    np.testing.assert_array_equal(explored, (action != [2, 1]).any(axis=1))


def test_boltzmann_of_extremes_is_greedy_or_even_and_never_illegal():
    q = np.array([[1e9, -1e30, 0.0], [-5.0, 1e9, -1e9], [2.0, 2.0, 2.0]], np.float32)
    mask = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0]], np.uint8)
    top = np.full((3, 2), 1 - 2.0**-53)

    for temperature in (0.0, 1e-30, 1e-3):
        action, explored = act_boltzmann(q, mask, (3,), temperature, top)
        assert action[:, 0].tolist() == [0, 0, 1]
        assert not explored.any()
    flat, _ = act_boltzmann(q, mask, (3,), 1e30, top)
    assert flat[:, 0].tolist() == [2, 2, 1]


def test_boltzmann_draws_of_a_row_do_not_depend_on_its_batch():
    rng = np.random.default_rng(0)
    q = rng.standard_normal((50, 4))
    u = uniforms(9, np.arange(100, 150), 2)

    together, _ = act_boltzmann(q, None, (4,), 1.0, u)
    alone = [act_boltzmann(q[i : i + 1], None, (4,), 1.0, u[i : i + 1])[0] for i in range(50)]

    np.testing.assert_array_equal(together, np.concatenate(alone))
    assert len(np.unique(together)) == 4
