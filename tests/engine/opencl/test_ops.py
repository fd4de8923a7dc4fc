"""Every op of the Protocol on the device equals its NumPy twin, on odd sizes and with NaN."""

import inspect
from collections.abc import Callable

import layer_cases
import learning_cases
import math_cases
import numpy as np
import pytest
from op_cases import CASES

from agentd.engine.backend import Backend
from agentd.engine.layers import Normalize
from agentd.engine.network import Network, Pass
from agentd.engine.network.normalize import InputStatistics
from agentd.engine.numpy_backend import NumPyBackend

pytestmark = pytest.mark.opencl

assert all((math_cases, learning_cases, layer_cases)), "each fills CASES"

NOT_STEPS = {"holds", "gathers", "empty", "zeros", "asarray", "to_host"}
NOT_STEPS |= {"write", "view", "rows", "reshape"}
ELSEWHERE = {"swap", "lstm_cell", "lstm_cell_backward", "gru_cell", "gru_cell_backward"}
ELSEWHERE |= {"categorical_values", "quantile_values", "categorical_target", "quantile_target"}
ELSEWHERE |= {"categorical_values_backward", "quantile_values_backward"}
ELSEWHERE |= {"take_action", "put_action", "mean_loss", "noisy_weight", "noisy_weight_backward"}
ELSEWHERE |= {"munchausen", "expected_target", "expected_quantiles", "expected_categorical"}
ELSEWHERE |= {"cosines", "modulate", "modulate_backward"}
ELSEWHERE |= {"q_step", "fit_step", "gather_rows"}


def ops() -> list[str]:
    """Return the Protocol's ops that bind a step, but for those of other files here."""
    functions = inspect.getmembers(Backend, inspect.isfunction)
    names = {name for name, _ in functions if not name.startswith("_")}
    return sorted(names - NOT_STEPS - ELSEWHERE)


@pytest.mark.parametrize("op", ops())
def test_op_equals_its_numpy_twin(op: str, both: Callable[..., None]) -> None:
    assert op in CASES, f"{op}: the Protocol has an op that no case covers"
    rng = np.random.default_rng(7)

    for label, bind, arrays, scalars in CASES[op](rng):
        try:
            both(bind, arrays, *scalars)
        except AssertionError as error:
            raise AssertionError(f"{op} {label}: {error}") from error


@pytest.mark.parametrize("op", ops())
def test_nan_is_among_the_inputs(op: str) -> None:
    if op == "fill":
        return  # reads nothing
    met = False
    for _, _, arrays, _ in CASES[op](np.random.default_rng(7)):
        given = (array for array in arrays.values() if array is not None)
        met |= any(array.dtype.kind == "f" and np.isnan(array).any() for array in given)

    assert met, f"{op}: no case has NaN in an input"


def test_running_statistics_of_extreme_inputs_serve_the_same_on_both(opencl, close) -> None:
    net = Network(Normalize(), input_shape=(3,))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 3)).astype(np.float32)
    x[5, 0], x[:, 1] = 1e25, 3e38 * np.sign(x[:, 1])
    found = []
    for backend in (NumPyBackend(), opencl):
        params, seen = backend.asarray(net.init(rng)), InputStatistics(net, backend)
        for part in np.split(x, 4):
            seen.observe(params, part)
        y = Pass(net, backend, 64).forward(params, x)
        found.append((backend.to_host(params), backend.to_host(y)))

    assert np.isfinite(found[0][1]).all()
    close(found[1][0], found[0][0], "statistics")
    close(found[1][1], found[0][1], "output")
