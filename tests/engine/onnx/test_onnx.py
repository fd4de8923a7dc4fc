"""The engine against ONNX's own node cases, within ONNX's own tolerances."""

import importlib.util
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.engine.backend import Array, Host
from agentd.engine.numpy_backend import NumPyBackend

CASES = 1884
RECORDED = {"numpy": 563, "opencl": 557}
"""How many of the cases of onnx 1.23 pass; OpenCL has no float64."""


@pytest.fixture(params=["numpy", pytest.param("opencl", marks=pytest.mark.opencl)])
def results(request: pytest.FixtureRequest) -> tuple[str, list[Any]]:
    return request.param, request.getfixturevalue(f"{request.param}_results")


def test_no_case_gives_a_wrong_number(results: tuple[str, list[Any]]) -> None:
    assert [(r.case, r.reason) for r in results[1] if r.failed] == []


def test_at_least_the_recorded_cases_pass(results: tuple[str, list[Any]]) -> None:
    name, rows = results
    if len(rows) < CASES:
        pytest.skip(f"the numbers are those of onnx 1.23, with {CASES} cases; here are {len(rows)}")
    assert sum(r.passed for r in rows) >= RECORDED[name]


def test_every_case_left_out_says_why(results: tuple[str, list[Any]]) -> None:
    for r in results[1]:
        assert r.passed == (not r.reason), r.case
        assert r.passed <= bool(r.engine), r.case


def test_every_operator_of_the_table_passes_a_case(numpy_results: list[Any], runner: Any) -> None:
    never = {"PRelu"}  # ONNX's cases have one slope an element, the engine one for all
    used = {name for r in numpy_results if r.passed for name in r.engine}
    assert used == runner.ENGINE.keys() - never


class _Broken(NumPyBackend):
    """A backend whose numbers are lost on their way back."""

    def to_host(self, array: Array) -> Host:
        host = super().to_host(array)
        return np.full_like(host, np.nan) if host.dtype.kind == "f" else host


def test_no_case_passes_without_the_engine(numpy_results: list[Any], runner: Any) -> None:
    """What a broken engine still passes would not have come from the engine."""
    rows = runner.Cases(_Broken(), _Broken(np.float64)).run_all()
    assert {r.case for r in rows if r.passed} == set()
    assert {r.case for r in numpy_results if r.passed} <= {r.case for r in rows if r.failed}


def test_the_report_names_every_case(
    numpy_results: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(__file__).parents[3] / "scripts/onnx_report.py"
    spec = importlib.util.spec_from_file_location("onnx_report", path)
    assert spec is not None
    assert spec.loader is not None
    report = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(report)
    table = report.table(numpy_results)
    assert sum(r["cases"] for r in table) == len(numpy_results)
    for r in table:
        assert r["cases"] - r["passed"] == sum(map(len, r["excluded"].values()))
    report.show(numpy_results)
    passed = sum(r.passed for r in numpy_results)
    assert f"{passed} of {len(numpy_results)} cases passed, 0 wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("op", "share"), [("affine", 40), ("layer_norm", 15), ("max_pool", 12), ("avg_pool", 6)]
)
def test_a_slightly_wrong_op_is_noticed(op: str, share: int, runner: Any) -> None:
    def off(self: Any, *args: Any, **options: Any) -> Callable[[], object]:
        step = getattr(NumPyBackend, op)(self, *args, **options)
        y = args[{"affine": 3, "layer_norm": 4, "max_pool": 2, "avg_pool": 2}[op]]

        def wrong() -> None:
            step()
            np.multiply(y, 1.01, out=y)

        return wrong

    broken = type("Broken", (NumPyBackend,), {op: off})
    run = runner.Cases(broken(), broken(np.float64)).run
    wrong = (case for case in runner.cases() if run(case).failed)
    assert len(list(islice(wrong, share))) == share, "at least so many; the rest need not be run"
