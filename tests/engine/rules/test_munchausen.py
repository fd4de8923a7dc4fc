"""Munchausen's targets against the paper's equation, written out over joint actions."""

import itertools
import math

import numpy as np
import pytest

from agentd.engine.rules import munchausen, td

ALPHA, TAU, LOWEST = 0.9, 0.3, -1.0
BRANCHES = [(3,), (2, 3), (1,)]


def case(branches, batch=7, seed=0, z=4):
    rng = np.random.default_rng(seed)
    width = sum(branches)
    masks = (rng.random((2, batch, width)) < 0.6).astype(np.uint8)
    masks[:, :, np.cumsum((0, *branches[:-1]))] = 1
    first = [0] * len(branches)  # legal everywhere
    return {
        "before": 2 * rng.standard_normal((batch, width)),
        "value": rng.standard_normal((batch, width)),
        "select": rng.standard_normal((batch, width)),
        "y": rng.standard_normal((batch, z, width)),
        "masks": masks,
        "reward": rng.standard_normal(batch),
        "discount": rng.choice([0.0, 0.9, -0.9], batch),
        "action": np.tile(np.array(first, np.int32), (batch, 1)),
    }


def paper(c, row, branches, mask_tm1, mask_t):
    """Equation 1 of arXiv:2007.14430 for one row, over the joint actions of all branches."""
    starts = np.cumsum((0, *branches[:-1]))
    joint = list(itertools.product(*(range(n) for n in branches)))

    def values(q):
        return [
            float(np.mean([q[s + a] for s, a in zip(starts, each, strict=True)])) for each in joint
        ]

    def legal(mask):
        return [all(mask[s + a] for s, a in zip(starts, each, strict=True)) for each in joint]

    def log_policy(q, mask):
        allowed = legal(mask)
        largest = max(v for v, ok in zip(values(q), allowed, strict=True) if ok)
        weight = [
            math.exp((v - largest) / TAU) if ok else 0.0
            for v, ok in zip(values(q), allowed, strict=True)
        ]
        total = sum(weight)
        return [math.log(w / total) if w else -math.inf for w in weight]

    taken = joint.index(tuple(int(a) for a in c["action"][row]))
    own = log_policy(c["before"][row], mask_tm1[row])[taken]
    target = c["reward"][row] + ALPHA * min(max(TAU * own, LOWEST), 0.0)
    value = values(c["value"][row])
    for q, log in zip(value, log_policy(c["select"][row], mask_t[row]), strict=True):
        if log > -math.inf:
            target += c["discount"][row] * math.exp(log) * (q - TAU * log)
    return target


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("masked", [False, True])
def test_the_target_is_the_papers_equation_over_joint_actions(branches, masked):
    c = case(branches)
    masks = c["masks"] if masked else [None, None]
    given = c["reward"], c["discount"], c["before"], masks[0], c["action"], c["select"], masks[1]

    reward, policy = munchausen.munchausen_reward(*given, branches, ALPHA, TAU, LOWEST)
    target = munchausen.expected_target(reward, c["discount"], c["value"], policy, branches)

    ones = np.ones((2, *c["value"].shape))
    masks = c["masks"] if masked else ones
    expected = [paper(c, row, branches, *masks) for row in range(len(target))]
    np.testing.assert_allclose(target, expected, rtol=1e-9)
    for part in td.split_branches(policy, branches):
        np.testing.assert_allclose(part.sum(axis=1), 1.0)
    assert not policy[np.asarray(masks[1]) == 0].any()


@pytest.mark.parametrize("branches", BRANCHES)
def test_the_means_of_distributions_are_that_target(branches):
    c = case(branches)
    policy = munchausen.soft_policy(c["select"], c["masks"][1], branches, TAU)[0]
    given = c["reward"], c["discount"]
    wide = (-50.0, 50.0)  # nothing is clipped

    quantiles = munchausen.expected_quantiles(*given, c["y"], policy, branches)
    shares = munchausen.expected_categorical(*given, c["y"], policy, branches, *wide)

    mean = munchausen.expected_target(*given, c["y"].mean(axis=1), policy, branches)
    np.testing.assert_allclose(quantiles.mean(axis=1), mean, rtol=1e-9)
    q = td.categorical_value(c["y"], *wide)
    mean = munchausen.expected_target(*given, q, policy, branches)
    np.testing.assert_allclose(shares @ np.linspace(*wide, 4), mean, rtol=1e-9)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


@pytest.mark.parametrize("branches", BRANCHES)
def test_without_reward_and_nearly_without_temperature_it_is_double_q_learning(branches):
    c = case(branches)
    mask = c["masks"][1]
    given = c["reward"], c["discount"], c["before"], None, c["action"], c["select"], mask

    reward, policy = munchausen.munchausen_reward(*given, branches, 0.0, 1e-6, LOWEST)

    found = munchausen.expected_target(reward, c["discount"], c["value"], policy, branches)
    expected = td.double_q_target(
        c["reward"], c["discount"], c["value"], c["select"], mask, branches
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
