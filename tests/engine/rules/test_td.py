"""The rules of td.py on arrays whose answers were worked out by hand."""

import numpy as np
import pytest

from agentd.engine.rules import td

ONE = (3,)
TWO = (2, 3)


def test_q_target_is_reward_plus_discounted_best_value():
    r_t = np.array([1.0, -1.0, 2.0])
    discount_t = np.array([0.9, 0.0, 0.5])
    q_t = np.array([[1.0, 3.0, 2.0], [5.0, 6.0, 7.0], [-4.0, -2.0, -8.0]])

    target = td.q_target(r_t, discount_t, q_t, None, ONE)

    np.testing.assert_allclose(target, [1 + 0.9 * 3, -1.0, 2 - 0.5 * 2])


def test_q_target_never_looks_at_illegal_actions():
    q_t = np.array([[1.0, 3.0, 2.0], [-4.0, -2.0, -8.0]])
    mask_t = np.array([[1, 0, 1], [1, 0, 1]], np.uint8)

    target = td.q_target(np.zeros(2), np.ones(2), q_t, mask_t, ONE)

    np.testing.assert_allclose(target, [2.0, -4.0])


def test_double_q_target_selects_with_one_network_and_values_with_the_other():
    value = np.array([[10.0, 20.0, 30.0], [10.0, 20.0, 30.0]])
    selector = np.array([[9.0, 1.0, 8.0], [1.0, 9.0, 8.0]])

    target = td.double_q_target(np.zeros(2), np.ones(2), value, selector, None, ONE)

    np.testing.assert_allclose(target, [10.0, 20.0])


def test_double_q_target_masks_the_selection():
    value = np.array([[10.0, 20.0, 30.0]])
    selector = np.array([[9.0, 1.0, 8.0]])
    mask_t = np.array([[0, 1, 1]], np.uint8)

    target = td.double_q_target(np.zeros(1), np.ones(1), value, selector, mask_t, ONE)

    np.testing.assert_allclose(target, [30.0])


def test_branches_bootstrap_from_the_mean_of_their_maxima():
    q_t = np.array([[1.0, 3.0, 4.0, 6.0, 5.0]])
    mask_t = np.array([[1, 0, 1, 0, 1]], np.uint8)

    free = td.q_target(np.array([1.0]), np.array([0.5]), q_t, None, TWO)
    masked = td.q_target(np.array([1.0]), np.array([0.5]), q_t, mask_t, TWO)

    np.testing.assert_allclose(free, [1 + 0.5 * (3 + 6) / 2])
    np.testing.assert_allclose(masked, [1 + 0.5 * (1 + 5) / 2])


def test_td_error_is_taken_of_each_branch_at_its_own_action():
    q_tm1 = np.array([[1.0, 3.0, 4.0, 6.0, 5.0], [0.0, 1.0, 2.0, 3.0, 4.0]])
    a_tm1 = np.array([[1, 2], [0, 0]])

    error = td.td_error(q_tm1, a_tm1, np.array([4.0, 1.0]), TWO)

    np.testing.assert_allclose(error, [[1.0, -1.0], [1.0, -1.0]])


def test_greedy_action_takes_the_first_of_equals():
    q = np.array([[2.0, 2.0, 1.0, 0.0, 1.0]])

    assert td.greedy_action(q, None, TWO).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("huber", "loss", "slope"),
    [
        (None, [0.125, 4.5, 2.0], [0.5, -3.0, 2.0]),
        (1.0, [0.125, 2.5, 1.5], [0.5, -1.0, 1.0]),
        (2.0, [0.125, 4.0, 2.0], [0.5, -2.0, 2.0]),
    ],
)
def test_loss_and_slope_by_hand(huber, loss, slope):
    error = np.array([[0.5], [-3.0], [2.0]])

    value, gradient = td.td_loss(error, None, huber)

    assert value == pytest.approx(np.mean(loss))
    np.testing.assert_allclose(gradient[:, 0], np.array(slope) / 3)


@pytest.mark.parametrize("huber", [None, 1.0])
def test_weights_scale_loss_and_slope(huber):
    error = np.array([[0.5], [-3.0], [2.0]])
    weight = np.array([0.5, 0.0, 2.0])

    value, slope = td.td_loss(error, weight, huber)

    parts = [td.td_loss(error[i : i + 1], None, huber) for i in range(3)]
    assert value == pytest.approx(sum(w * p[0] for w, p in zip(weight, parts, strict=True)) / 3)
    np.testing.assert_allclose(
        slope[:, 0], [w * p[1][0, 0] / 3 for w, p in zip(weight, parts, strict=True)]
    )


def test_n_step_by_hand():
    reward = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    discount = np.array([[0.5, 0.5], [0.5, 0.0], [0.5, 0.5]])

    total, ahead = td.n_step(reward, discount)

    np.testing.assert_allclose(total, [1 + 0.5 * 2 + 0.25 * 4, 1 + 0.5 * 2])
    np.testing.assert_allclose(ahead, [0.125, 0.0])
