"""The backend's fused Q-learning ops against the rules of ``engine.rules.td``."""

import numpy as np
import pytest

from agentd.engine.errors import ShapeError
from agentd.engine.rules import td

BRANCHES = [(2,), (5,), (3, 2), (2, 4, 3)]


def case(branches, batch=33, seed=0):
    rng = np.random.default_rng(seed)
    width = sum(branches)
    mask = (rng.random((batch, width)) < 0.5).astype(np.uint8)
    mask[:, np.cumsum((0, *branches[:-1]))] = 1
    return {
        "value": rng.standard_normal((batch, width)) * 2,
        "select": rng.standard_normal((batch, width)),
        "mask": mask,
        "reward": rng.standard_normal(batch),
        "discount": rng.choice([0.0, 0.9], batch),
        "action": np.stack([rng.integers(0, n, batch) for n in branches], 1).astype(np.int32),
        "weight": rng.random(batch) + 0.1,
    }


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("double", [False, True])
def test_td_target_is_the_rule(exact, branches, masked, double):
    c = case(branches)
    arrays = {name: exact.asarray(c[name]) for name in c}
    mask = c["mask"] if masked else None
    select = "select" if double else "value"
    target = exact.empty((33,))

    exact.td_target(
        arrays["value"],
        arrays[select],
        arrays["mask"] if masked else None,
        branches,
        arrays["reward"],
        arrays["discount"],
        target,
    )()

    expected = td.double_q_target(c["reward"], c["discount"], c["value"], c[select], mask, branches)
    np.testing.assert_allclose(exact.to_host(target), expected, rtol=1e-12)


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("huber", [None, 0.7])
@pytest.mark.parametrize("shared", [False, True])
def test_td_loss_is_the_rule_and_its_gradient_the_slope(
    exact, slope, branches, weighted, huber, shared
):
    c = case(branches, batch=7)
    q, target = exact.asarray(c["value"]), exact.asarray(c["reward"])
    weight = c["weight"] if weighted else None
    dq, error = exact.empty(q.shape), exact.empty((7, len(branches)))
    loss = exact.empty((1,))
    action = exact.asarray(c["action"])

    exact.td_loss(q, action, target, weight, branches, huber, dq, error, loss, shared)()

    given = c["action"], c["reward"], branches
    expected = td.td_error(c["value"], *given, mean_error=shared)
    np.testing.assert_allclose(exact.to_host(error), expected, rtol=1e-12)
    assert exact.to_host(loss)[0] == pytest.approx(td.td_loss(expected, weight, huber)[0])

    def mean_loss(values):
        return td.td_loss(td.td_error(values, *given, mean_error=shared), weight, huber)[0]

    np.testing.assert_allclose(exact.to_host(dq), slope(mean_loss, c["value"]), atol=1e-8)


def test_bound_ops_read_what_is_there_when_they_run(backend):
    q = backend.asarray(np.array([[1.0, 2.0]]))
    one, target = backend.asarray(np.array([1.0])), backend.empty((1,))
    step = backend.td_target(q, q, None, (2,), one, one, target)
    step()

    backend.write(q, np.array([[5.0, 2.0]]))
    step()

    assert backend.to_host(target).tolist() == [6.0]


@pytest.mark.parametrize("huber", [None, 1.0])
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_reaches_the_loss(backend, huber, wrong):
    q = backend.asarray(np.array([[1.0, 2.0]]))
    target, action = backend.asarray(np.array([wrong])), backend.asarray(np.zeros((1, 1), np.int32))
    dq, error, loss = backend.empty((1, 2)), backend.empty((1, 1)), backend.empty((1,))

    with np.errstate(invalid="ignore"):
        backend.td_loss(q, action, target, None, (2,), huber, dq, error, loss)()

    assert not np.isfinite(backend.to_host(loss)[0])


def test_other_shapes_are_refused(backend):
    q, row = backend.zeros((3, 4)), backend.zeros((3,))

    with pytest.raises(ShapeError, match="td_target"):
        backend.td_target(q, q, None, (2, 3), row, row, row)
    with pytest.raises(ShapeError, match="td_loss"):
        backend.td_loss(
            q,
            backend.zeros((3, 1), "int32"),
            row,
            None,
            (4,),
            None,
            backend.zeros((3, 5)),
            backend.zeros((3, 1)),
            backend.zeros((1,)),
        )
