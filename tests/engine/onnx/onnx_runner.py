"""ONNX's own node cases on the engine: which pass, which are left out, and why.

A case is a graph of one node, or the body of an ONNX function ("expanded"). Operators of the
engine's tables are computed by a backend; ``MOVING`` operators (shapes, copies, comparisons,
indices) and ``SCALING`` ones may come from ONNX's reference in NumPy, in expanded graphs alone.
Integers always do. A case counts as passed only when an operator of the engine other than sums and
products of elements worked in it, its output fits within ONNX's own tolerance, and no operator was
computed outside of these lists.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx_layers
import onnx_ops
from onnx import NodeProto, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops import load_op
from onnx_ops import TRAINING, Machine, Unsupported

from agentd.engine.backend import Backend

ENGINE = onnx_ops.OPS | onnx_layers.OPS
PLAIN = {"Add", "Sub", "Mul", "Sum", "Neg", "Mean", "Identity", "Gather", "Flatten", "Reshape"}
"""Too small to carry an expanded graph: another operator of the engine must work in it."""

MOVING = {
    *("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Where"),
    *("Cast", "CastLike", "Constant", "ConstantOfShape", "If", "Range", "Shape", "Size"),
    *("Concat", "Expand", "Gather", "GatherElements", "Pad", "Reshape", "Slice", "Split"),
    *("Squeeze", "Transpose", "Unsqueeze"),
}
SCALING = {"Abs", "Div", "Log", "Max", "Min", "Mod", "Pow", "Reciprocal", "Sqrt"}
_DOMAINS = dict.fromkeys(("Adam", "Momentum", "Adagrad"), TRAINING)
_OUTPUTS = {"SoftmaxCrossEntropyLoss", "MaxPool", "LayerNormalization", "RNN", "LSTM", "Dropout"}


@dataclass(frozen=True)
class Result:
    """What became of one case: ``reason`` is empty where it passed, ``failed`` a wrong number."""

    case: str
    operator: str
    passed: bool
    failed: bool
    reason: str
    engine: tuple[str, ...]
    numpy: tuple[str, ...]

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


@cache
def cases() -> tuple[Any, ...]:
    """Return ONNX's node cases, built in memory (about four seconds)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(load_model_tests(kind="node"))


def nodes(graph: Any) -> Iterator[NodeProto]:
    """Yield every node of a graph, of its branches too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)


class Cases:
    """Runs cases on one backend; ``wide`` is the one for float64, None where there is none."""

    def __init__(self, backend: Backend, wide: Backend | None = None) -> None:
        self._machines = {np.dtype(np.float32): Machine(backend)}
        if wide is not None:
            self._machines[np.dtype(np.float64)] = Machine(wide)
        self._used: set[str] = set()
        self._ops = [self._operator(name) for name in ENGINE]

    def run_all(self) -> list[Result]:
        return [self.run(case) for case in cases()]

    def run(self, case: Any) -> Result:
        kinds = {node.op_type for node in nodes(case.model.graph)}
        single = len(case.model.graph.node) == 1 and "_expanded" not in case.name
        operator = next(iter(kinds)) if single else _function(case.name)
        glue = kinds - ENGINE.keys()
        self._used = set()
        reason = _outside(kinds, glue)
        failed = False
        if not reason:
            try:
                failed, reason = self._compare(case)
            except Unsupported as lacking:
                reason = str(lacking)
        if not reason and not (self._used - (set() if single else PLAIN)):
            reason = _idle(case, single)
        used, rest = tuple(sorted(self._used)), tuple(sorted(glue & SCALING))
        return Result(case.name[5:], operator, not reason, failed, reason, used, rest)

    def _compare(self, case: Any) -> tuple[bool, str]:
        """Return whether an output is wrong, and how."""
        sess = ReferenceEvaluator(case.model, new_ops=self._ops)
        names = [value.name for value in case.model.graph.input]
        for inputs, expected in case.data_sets:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                given = [_host(x) for x in inputs]
                outputs = sess.run(None, dict(zip(names, given, strict=True)))
            try:
                Runner.assert_similar_outputs(
                    [_host(y) for y in expected], outputs, rtol=case.rtol, atol=case.atol
                )
            except AssertionError as wrong:
                return True, f"wrong: {' '.join(str(wrong).split())[:160]}"
        return False, ""

    def _operator(self, name: str) -> type[OpRun]:
        """Return a class of ONNX's reference evaluator whose numbers come from the engine."""
        cases, compute, domain = self, ENGINE[name], _DOMAINS.get(name, "")

        def _run(self: OpRun, *inputs: Any, **attributes: Any) -> Any:
            first = next((x for x in _tensors(name, inputs) if x is not None), None)
            kind = getattr(first, "dtype", None)
            if kind is None or kind.kind in "iub":
                version = self.run_params["opsets"][domain]
                plain = load_op(domain, name, version)(self.onnx_node, self.run_params)
                return plain._run(*inputs, **attributes)
            machine = cases._machines.get(kind)
            if machine is None:
                raise Unsupported(f"numbers of type {kind}")
            if name in _OUTPUTS:
                attributes["outputs"] = len(self.onnx_node.output)
            cases._used.add(name)
            results = compute(machine, *inputs, **attributes)
            if len(results) < len(self.onnx_node.output):
                raise Unsupported("an output that the layer does not hand out")
            return tuple(np.asarray(y, kind if y.dtype.kind == "f" else None) for y in results)

        return type(name, (OpRun,), {"op_domain": domain, "_run": _run})


def _tensors(name: str, inputs: Iterable[Any]) -> list[Any]:
    """Return the inputs that decide where an operator is computed."""
    return list(inputs)[2:] if name in _DOMAINS else list(inputs)


def _host(x: Any) -> Any:
    return numpy_helper.to_array(x) if hasattr(x, "SerializeToString") else x


def _idle(case: Any, single: bool) -> str:
    """Return why nothing of the engine's worked in a case whose graph could be its own."""
    if not single:
        return "nothing but sums, products and copies of elements is left to the engine"
    kinds = {str(getattr(_host(x), "dtype", type(x).__name__)) for x in case.data_sets[0][0]}
    return f"numbers of type {', '.join(sorted(kinds))}"


def _function(case: str) -> str:
    """Return a name for the operator whose body a case holds: its first words."""
    return case.removeprefix("test_").split("_expanded")[0].split("_")[0] + " (expanded)"


def _outside(kinds: set[str], glue: set[str]) -> str:
    """Return why a graph cannot be the engine's, or nothing."""
    if not kinds & ENGINE.keys():
        return f"no operator of the engine's: {', '.join(sorted(kinds - MOVING) or sorted(kinds))}"
    foreign = glue - MOVING - SCALING
    if foreign:
        return f"needs operators that the engine does not have: {', '.join(sorted(foreign))}"
    return ""
