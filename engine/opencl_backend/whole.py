"""Small dense networks: a whole training step in one launch of one work-group."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from agentd.engine.backend import AdamConstants, DenseStack, DescentArrays, FitStep, QStep
from agentd.engine.opencl_backend.dense import EPILOGUE
from agentd.engine.opencl_backend.heads import HeadOps
from agentd.engine.opencl_backend.memory import Dv, optional
from agentd.engine.opencl_backend.runtime import LocalFloats

MOST_PARAMS = 1 << 15
"""Parameters up to which one work-group is faster than a launch per op."""

MOST_Q_WORK, MOST_FIT_WORK = 1 << 22, 1 << 21
"""Rows times parameters up to which it is; a step of Q-learning saves twice the launches."""

_SHARE = 7 / 8  # of local memory: the compiler may want some for itself
_GPU_ITEMS, _GPU_TILE, _CPU_TILE = 256, 8, 6
_MOST_ROWS = 64
_BANKS = 4  # numbers more from line to line on GPUs, so that neighbouring lines meet other banks


class WholeOps(HeadOps):
    """Steps in one call for small networks some rows of whose activations fit local memory."""

    def q_step(
        self, layers: DenseStack, on: DescentArrays, x: Dv, q: QStep
    ) -> Callable[[bool, float, AdamConstants], object] | None:
        rows, width = q.reward.shape[0], layers[-1].w.shape[1]
        cut = self._cut(layers, rows, MOST_Q_WORK, extra=width)
        if cut is None:
            return None
        step = self.runtime.bind_scalars(
            "whole_step",
            "q_step",
            (cut.items,),
            (cut.items,),
            *cut.net,
            *(on.params.shape[0], rows, len(q.branches), self.starts(q.branches)),
            *(int(q.double), *optional(q.huber, 0.0), int(q.mean_error)),
            float(on.clip_norm or 0.0),
            *(cut.lines(sum(cut.sizes)), cut.lines(width), LocalFloats(cut.items)),
            *(x, q.action, q.reward, q.discount, q.mask, *optional(q.weight, q.reward)),
            *(on.params, on.gradient, on.m, on.v, q.target_params, q.error, q.target, on.figures),
            types="ifffffffi",
            options=cut.options,
        )
        return lambda masked, tau, constants: step(masked, tau, *constants)

    def fit_step(
        self, layers: DenseStack, on: DescentArrays, x: Dv, fit: FitStep
    ) -> Callable[[AdamConstants], object] | None:
        rows = fit.weight.shape[0]
        cut = self._cut(layers, rows, MOST_FIT_WORK)
        if cut is None:
            return None
        step = self.runtime.bind_scalars(
            "whole_step",
            "fit_step",
            (cut.items,),
            (cut.items,),
            *cut.net,
            *(on.params.shape[0], rows, int(fit.is_class)),
            *(*optional(fit.huber, 0.0), float(on.clip_norm or 0.0)),
            *(cut.lines(sum(cut.sizes)), LocalFloats(cut.items)),
            *(x, fit.label, fit.label, fit.weight),
            *(on.params, on.gradient, on.m, on.v, fit.y, on.figures),
            types="ffffffi",
            options=cut.options,
        )
        return lambda constants: step(*constants)

    def _cut(self, layers: DenseStack, batch: int, most_work: int, extra: int = 0) -> "_Cut | None":
        """Return how the step is divided on this device; None where the network does not fit."""
        runtime, width = self.runtime, self.runtime.tuning.width
        sizes = (layers[0].w.shape[0], *(layer.w.shape[1] for layer in layers))
        gpu = runtime.tuning.tiled
        items = min(_GPU_ITEMS, runtime.device.max_work_group_size) if gpu else 1
        room = int(runtime.device.local_mem_size * _SHARE) // 4 - items
        pad = _BANKS if gpu else 0
        rows = min(room // (sum(sizes) + extra) - pad, _MOST_ROWS, batch + width - 1)
        rows -= rows % width
        n_params = sum(layer.w.size + (layer.b.size if layer.b else 0) for layer in layers)
        if rows < width or n_params > MOST_PARAMS or batch * n_params > most_work:
            return None
        plan = list(sizes)
        plan += [EPILOGUE[layer.act] for layer in layers]
        plan += [layer.w.offset for layer in layers]
        plan += [layer.b.offset if layer.b else -1 for layer in layers]
        device_plan = self.asarray(np.array(plan, np.int32)).buffer
        options = (f"-DITEMS={items}", f"-DTILE={_GPU_TILE if gpu else _CPU_TILE}")
        return _Cut(options, items, sizes, rows + pad, (len(layers), rows, rows + pad, device_plan))


class _Cut(NamedTuple):
    """Build options, work-items, numbers a layer, numbers a line, and the kernels' arguments."""

    options: tuple[str, ...]
    items: int
    sizes: tuple[int, ...]
    pitch: int
    net: tuple[Any, ...]

    def lines(self, count: int) -> LocalFloats:
        return LocalFloats(count * self.pitch)
