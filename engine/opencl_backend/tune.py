"""A small search for the tuning of a device: one size at a time, timed by the device itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agentd.engine.opencl_backend import OpenCLBackend
from agentd.engine.opencl_backend.devices import choose
from agentd.engine.opencl_backend.errors import DeviceError
from agentd.engine.opencl_backend.tuning import Tuning, default_tuning

_SIDE = 512
_VECTOR = 1 << 20
_REPEATS = 5
_CPU_SIZES: dict[str, tuple[int, ...]] = {
    "rows": (4, 6, 8, 12),
    "depth": (128, 256, 512),
    "width": (8, 16),
    "chunk": (2048, 8192, 32768),
}
_GPU_SIZES: dict[str, tuple[Any, ...]] = {
    "rows": (4, 6, 8),
    "depth": (8, 16, 32),
    "lanes": (32, 64, 128),
    "local": (64, 128, 256),
    "mma": ("tf32x3",),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A tuning and its times: ``seconds`` of the products, the optimizer and the row-wise sums."""

    tuning: Tuning
    seconds: float


def search(device: str, report: Callable[[Trial], None] = lambda trial: None) -> Trial:
    """Return the fastest tuning found for ``device``, beginning at the shipped one.

    Each trial builds the kernels that it times, a few seconds on a CPU; ``report`` is told of each.
    A tuning that does not build or run is passed over. Raises DeviceError when the shipped one does
    not either.
    """
    best = Trial(start := default_tuning(choose(device)), measure(device, start))
    report(best)
    for name, sizes in (_GPU_SIZES if start.tiled else _CPU_SIZES).items():
        for size in sizes:
            if size == getattr(best.tuning, name):
                continue
            try:
                changed: dict[str, Any] = {name: size}
                tuning = replace(best.tuning, **changed)
                trial = Trial(tuning, measure(device, tuning))
            except DeviceError:
                continue
            report(trial)
            if trial.seconds < best.seconds:
                best = trial
    return best


def measure(device: str, tuning: Tuning) -> float:
    """Return the sum of the best times of some representative steps, in seconds."""
    backend = OpenCLBackend(device, tuning, profile=True)
    return sum(_best(backend, step) for step in _steps(backend))


def _steps(backend: OpenCLBackend) -> Iterator[Callable[[], Any]]:
    rng = np.random.default_rng(0)
    x, w = (backend.asarray(rng.random((_SIDE, _SIDE), np.float32)) for _ in range(2))
    y, row = backend.zeros((_SIDE, _SIDE)), backend.zeros((_SIDE,))
    yield backend.affine(x, w, row, y, "relu")
    yield backend.matmul_tn(x, w, y)
    yield backend.matmul_nt(x, w, y)
    yield backend.sum_rows(x, row)
    p, g, m, v = (backend.zeros((_VECTOR,)) for _ in range(4))
    adam = backend.adam(p, g, m, v)
    yield lambda: adam(0.9, 0.999, 1e-3, 1e-8, 0.0, 1.0, True)


def _best(backend: OpenCLBackend, step: Callable[[], Any]) -> float:
    step()
    backend.runtime.finish()
    events = [step() for _ in range(_REPEATS)]
    backend.runtime.finish()
    times: list[int] = [event.profile.end - event.profile.start for event in events]
    return min(times) * 1e-9
