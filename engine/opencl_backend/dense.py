"""Matrix products: which kernel, which layout, which grid."""

from functools import cached_property

from agentd.engine.backend import Activation, Step, in_order
from agentd.engine.errors import ShapeError
from agentd.engine.opencl_backend import tensor_cores
from agentd.engine.opencl_backend.activations import ActivationOps
from agentd.engine.opencl_backend.memory import Dv, optional
from agentd.engine.opencl_backend.runtime import Grid

EPILOGUE: dict[Activation, int] = {"identity": 0, "relu": 1, "sigmoid": 2, "tanh": 3}
_SKINNY = 8  # rows up to which B is read straight from memory


class DenseOps(ActivationOps):
    """c = act(A B + bias) in the layouts that a Dense layer needs."""

    def affine(self, x: Dv, w: Dv, b: Dv | None, y: Dv, act: Activation = "identity") -> Step:
        expected = (x.shape[0], w.shape[1])
        if y.shape != expected or x.shape[1] != w.shape[0]:
            raise ShapeError("affine", expected, y.shape)
        if act not in EPILOGUE:
            return in_order(self.affine(x, w, b, y), self.activation(act, y, y))
        (m, k), n = x.shape, w.shape[1]
        tail = (*optional(b, y), EPILOGUE[act], y)
        if m <= _SKINNY:
            return self._skinny(m, n, k, x, w, *tail)
        return self._gemm(m, n, k, x, w, *tail, left=0, right=0)

    def matmul_tn(self, x: Dv, dy: Dv, dw: Dv) -> Step:
        k, m, n = x.shape[0], x.shape[1], dy.shape[1]
        if dw.shape != (m, n) or dy.shape[0] != k:
            raise ShapeError("matmul_tn", (m, n), dw.shape)
        return self._gemm(m, n, k, x, dy, 0, dw, 0, dw, left=1, right=0)

    def matmul_nt(self, dy: Dv, w: Dv, dx: Dv) -> Step:
        m, k, n = dy.shape[0], dy.shape[1], w.shape[0]
        if dx.shape != (m, n) or w.shape[1] != k:
            raise ShapeError("matmul_nt", (m, n), dx.shape)
        return self._gemm(m, n, k, dy, w, 0, dx, 0, dx, left=0, right=1)

    def sum_rows(self, dy: Dv, db: Dv) -> Step:
        rows, n = dy.shape
        if db.shape != (n,):
            raise ShapeError("sum_rows", (n,), db.shape)
        lanes = self.runtime.tuning.lanes
        if n == 1:
            grid: Grid = (lanes,)
            return self.runtime.bind("sum_rows", "sum_column", grid, grid, rows, dy, db)
        grid, local = (lanes, -(-n // self.runtime.tuning.width)), (lanes, 1)
        return self.runtime.bind("sum_rows", "sum_rows", grid, local, rows, n, dy, db)

    @cached_property
    def _tensor_cores(self) -> tuple[str, ...] | None:
        return tensor_cores.options_of(self)

    def _skinny(self, m: int, n: int, k: int, *args: Dv) -> Step:
        rows = 1 << (m - 1).bit_length()
        cols = 1 if self.runtime.is_gpu or n <= 64 else max(1, 8 // rows)
        grid, local = self.runtime.items(-(-n // (self.runtime.tuning.width * cols)))
        options = (f"-DROWS={rows}", f"-DCOLS={cols}")
        name = "gemm_skinny"
        return self.runtime.bind(name, name, grid, local, m, n, k, *args, options=options)

    def _gemm(
        self,
        m: int,
        n: int,
        k: int,
        *args: Dv,
        left: int,
        right: int,
        window: tuple[int, ...] = (),
    ) -> Step:
        """Bind a product; with ``window`` its left side is an image's windows, never unfolded."""
        layout = (f"-DTA={left}", f"-DTB={right}", *(("-DGATHER=1",) if window else ()))
        tuning = self.runtime.tuning
        if tuning.mma and not window and self._tensor_cores is not None:
            options = (*layout, *self._tensor_cores)
            return tensor_cores.bind(self.runtime, m, n, k, *args, options=options)
        if tuning.tiled:
            group, tile = 16, 16 * tuning.rows
            grid: Grid = (group * -(-n // tile), group * -(-m // tile))
            options = (
                *layout,
                f"-DTM={tuning.rows}",
                f"-DTN={tuning.rows}",
                f"-DBK={tuning.depth}",
            )
            local = (group, group)
            return self.runtime.bind(
                "gemm_tiled", "gemm", grid, local, *window, m, n, k, 0, *args, options=options
            )
        vectors = 1 if n <= tuning.width else 2
        panels = -(-n // (tuning.width * vectors))
        cuts = max(1, min(-(-4 * self.runtime.units // panels), -(-m // (4 * tuning.rows))))
        rows = -(-m // (cuts * tuning.rows)) * tuning.rows
        options = (*layout, f"-DMR={tuning.rows}", f"-DNV={vectors}", f"-DKC={tuning.depth}")
        return self.runtime.bind(
            "gemm_panel",
            "gemm",
            (panels, -(-m // rows)),
            (1, 1),
            *(*window, m, n, k, rows, *args),
            options=options,
        )
