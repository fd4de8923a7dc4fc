"""A policy as instructions over two flat buffers: what the small interpreters in files run.

Every instruction is a dict with ``op`` and its numbers; weights are places in ``floats``, or, for
matrices in int8, in ``ints`` with their columns' scales in ``floats``. -1 stands for none. An
instruction reads one buffer and writes the other, or works in place (see ``IN_PLACE``).
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.export.graph import (
    Activate,
    Affine,
    Convolution,
    Expect,
    Floats,
    Keep,
    Lookup,
    Matrix,
    Merge,
    Plus,
    PolicyGraph,
    PolicyStage,
    Pooling,
    Rescale,
    Standardize,
    Vector,
    View,
)

IN_PLACE = ("act", "rescale", "norm", "plus", "keep")
Instruction = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Program:
    """Instructions and the numbers they read.

    buffer  numbers that the widest input or output of an instruction has
    aside   numbers of each copy that ``keep`` lays aside, innermost last
    """

    instructions: tuple[Instruction, ...]
    floats: Floats
    ints: NDArray[np.int8]
    buffer: int
    aside: tuple[int, ...]

    @property
    def small(self) -> bool:
        """Whether matrices are int8."""
        return self.ints.size > 0


def lower(policy: PolicyGraph) -> Program:
    """Return the policy's layers as a program."""
    made = _Lowering()
    for stage in policy.stages:
        made.stage(stage)
    sizes = [prod(shape) for stage in policy.stages for shape in (stage.takes, stage.gives)]
    floats = np.concatenate(made.floats) if made.floats else np.zeros(1, np.float32)
    ints = np.concatenate(made.ints) if made.ints else np.zeros(0, np.int8)
    return Program(tuple(made.instructions), floats, ints, max(sizes), tuple(made.aside))


class _Lowering:
    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.floats: list[Floats] = []
        self.ints: list[NDArray[np.int8]] = []
        self.aside: list[int] = []
        self._depth = 0

    def stage(self, stage: PolicyStage) -> None:
        sizes = {"in": prod(stage.takes), "out": prod(stage.gives)}
        match stage.op:
            case Affine() | Lookup() as op:
                kind = "dense" if isinstance(op, Affine) else "lookup"
                self._put(kind, sizes, **self._weights(op.w, op.b))
            case Convolution() as op:
                window = _window_numbers(op.window)
                channels = stage.gives[-1]
                self._put("conv", sizes, **window, channels=channels, **self._weights(op.w, op.b))
            case Pooling() as op:
                kind = "max_pool" if op.largest else "avg_pool"
                self._put(kind, sizes, **_window_numbers(op.window))
            case Activate() as op:
                self._activate(op.act, sizes["out"], op.slope)
            case Rescale() as op:
                self._rescale(op, sizes)
            case Standardize() as op:
                parts = {"gain": self._vector(op.gain), "bias": self._vector(op.bias)}
                self._put("norm", sizes, n=op.gain.values.size, eps=op.eps, **parts)
            case Merge() as op:
                self._put("merge", sizes, atoms=op.atoms, branches=list(op.branches))
            case Expect() as op:
                self._expect(op, sizes)
            case Keep() | Plus() as op:
                self._aside(isinstance(op, Keep), sizes)
            case View():
                pass
        if isinstance(stage.op, Affine | Convolution):
            self._activate(stage.op.act, sizes["out"], 0.0)

    def _put(self, op: str, sizes: dict[str, int], **numbers: Any) -> None:
        self.instructions.append({"op": op, **sizes, **numbers})

    def _activate(self, act: str, size: int, slope: float) -> None:
        if act != "identity":
            self._put("act", {"in": size, "out": size}, act=act, slope=float(slope))

    def _rescale(self, op: Rescale, sizes: dict[str, int]) -> None:
        n = max(v.values.size for v in (op.shift, op.scale, op.bias))
        parts = {
            name: self._float(np.broadcast_to(vector.values, n).astype(np.float32))
            for name, vector in (("shift", op.shift), ("scale", op.scale), ("bias", op.bias))
        }
        limit = -1.0 if op.limit is None else op.limit
        self._put("rescale", sizes, n=n, limit=limit, **parts)

    def _expect(self, op: Expect, sizes: dict[str, int]) -> None:
        returns = -1
        if op.low is not None and op.high is not None:
            returns = self._float(np.linspace(op.low, op.high, op.atoms, dtype=np.float32))
        self._put("expect", sizes, atoms=op.atoms, returns=returns)

    def _aside(self, keep: bool, sizes: dict[str, int]) -> None:
        if not keep:
            self._depth -= 1
        elif self._depth == len(self.aside):
            self.aside.append(sizes["in"])
        else:
            self.aside[self._depth] = max(self.aside[self._depth], sizes["in"])
        self._put("keep" if keep else "plus", sizes, at=self._depth)
        self._depth += keep

    def _weights(self, w: Matrix, b: Vector | None) -> dict[str, int]:
        bias = -1 if b is None else self._vector(b)
        if w.small is None:
            return {"w": self._float(w.values), "scale": -1, "b": bias}
        at = sum(part.size for part in self.ints)
        self.ints.append(w.small.ints.reshape(-1))
        return {"w": at, "scale": self._float(w.small.scale), "b": bias}

    def _vector(self, vector: Vector) -> int:
        return self._float(vector.values)

    def _float(self, values: Floats) -> int:
        at = sum(part.size for part in self.floats)
        self.floats.append(values.reshape(-1))
        return at


def _window_numbers(window: Any) -> dict[str, Any]:
    return {
        "height": window.height,
        "width": window.width,
        "depth": window.channels,
        "kernel": list(window.kernel),
        "stride": list(window.stride),
        "padding": list(window.padding),
        "out_height": window.out_height,
        "out_width": window.out_width,
    }
