"""Recurrent layers on rows: what is carried from row to row of a stream, and its gradients."""

from typing import Any

import numpy as np
import pytest

from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.layers import Dense, Gru, Lstm, Residual, Rnn, Tanh
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.training import Trainer

TIMES, LANES = 5, 3


def network(kind: type[Rnn] | type[Lstm] | type[Gru]) -> Network:
    return Network(Dense(4), Tanh(), kind(3), Residual((kind(3),)), Dense(2), input_shape=(2,))


@pytest.fixture(params=[Rnn, Lstm, Gru])
def run(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return a network that remembers, its backend, parameters, rows and a state to begin with."""
    rng, be, net = np.random.default_rng(1), NumPyBackend(np.float64), network(request.param)
    return {
        "be": be,
        "net": net,
        "params": be.asarray(0.5 * rng.standard_normal(net.n_params)),
        "x": rng.standard_normal((TIMES * LANES, 2)),
        "memory": rng.standard_normal((LANES, net.memory_width)),
        "dy": rng.standard_normal((TIMES * LANES, 2)),
    }


def test_rows_at_once_are_rows_one_by_one(run: dict[str, Any]) -> None:
    whole = Pass(run["net"], run["be"], TIMES * LANES, times=TIMES)
    single, memory, found = Pass(run["net"], run["be"], LANES), run["memory"], []

    y = run["be"].to_host(whole.forward(run["params"], run["x"], memory=memory))
    for at in range(0, TIMES * LANES, LANES):
        rows = run["x"][at : at + LANES]
        found.append(run["be"].to_host(single.forward(run["params"], rows, memory=memory)))
        memory = single.memory_after()

    np.testing.assert_allclose(np.concatenate(found), y, rtol=1e-12)
    np.testing.assert_allclose(memory, whole.memory_after(), rtol=1e-12)


def test_nothing_remembered_is_zero(run: dict[str, Any]) -> None:
    one, x = Pass(run["net"], run["be"], LANES), run["x"][:LANES]
    blank = np.zeros((LANES, run["net"].memory_width))

    after = [one.forward(run["params"], x, memory=run["memory"]).copy()]
    after.append(one.forward(run["params"], x).copy())
    after.append(one.forward(run["params"], x, memory=blank).copy())

    np.testing.assert_array_equal(after[1], after[2])
    assert (after[0] != after[1]).any()


def test_gradients_reach_back_to_the_first_row(run: dict[str, Any]) -> None:
    be, net, params = run["be"], run["net"], run["params"]
    learn, gradient = (
        Pass(net, be, TIMES * LANES, training=True, times=TIMES),
        be.zeros(params.shape),
    )

    def loss(at: int, by: float) -> float:
        moved = params.copy()
        moved[at] += by
        y = learn.forward(be.asarray(moved), run["x"], memory=run["memory"])
        return float((be.to_host(y) * run["dy"]).sum())

    learn.forward(params, run["x"], memory=run["memory"])
    learn.backward(gradient, run["dy"])

    some = np.random.default_rng(2).choice(net.n_params, 40, replace=False)
    slope = [(loss(i, 1e-6) - loss(i, -1e-6)) / 2e-6 for i in some.tolist()]
    np.testing.assert_allclose(gradient[some], slope, rtol=1e-5, atol=1e-8)


def test_what_does_not_fit_is_refused() -> None:
    net, be = network(Gru), NumPyBackend()
    run, params = Pass(net, be, 6, times=3), be.zeros((net.n_params,))

    with pytest.raises(ShapeError, match=r"3 a stream.*4 rows"):
        run.forward(params, np.zeros((4, 2), np.float32))
    with pytest.raises(ShapeError, match=r"network memory.*\(2, 6\)"):
        run.forward(params, np.zeros((6, 2), np.float32), memory=np.zeros((1, 6), np.float32))
    with pytest.raises(ModelError, match=r"2\.gru: training from data has no sequences"):
        Trainer(net, loss="squared_error", is_class=False)
    with pytest.raises(ModelError, match="memory"):
        Pass(Network(Dense(2), input_shape=(2,)), be, 2).memory_after()
