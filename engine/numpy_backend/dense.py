"""Matrix products and what surrounds them."""

from numpy import add, dot, maximum

from agentd.engine.backend import Activation, Step
from agentd.engine.errors import ShapeError
from agentd.engine.numpy_backend.activations import ActivationOps, strips_of
from agentd.engine.numpy_backend.gemm import bind_product, bind_rowwise
from agentd.engine.numpy_backend.memory import Nd


class DenseOps(ActivationOps):
    """Affine maps; a single row takes the vector path, which BLAS runs without packing."""

    def affine(self, x: Nd, w: Nd, b: Nd, y: Nd, act: Activation = "identity") -> Step:
        expected = (x.shape[0], w.shape[1])
        if y.shape != expected or x.shape[1] != w.shape[0]:
            raise ShapeError("affine", expected, y.shape)
        if len(x) == 1 and not self.rowwise:
            x, y = x[0], y[0]
        product = (bind_rowwise if self.rowwise else bind_product)(x, w, y)
        if b is None and act == "identity":
            return product
        if act == "relu" and b is not None:
            parts = [(part, self.zeros_like(part)) for (part,) in strips_of(y)]

            def affine_relu() -> None:
                product()
                add(y, b, y)
                for part, zero in parts:
                    maximum(part, zero, out=part)

            return affine_relu
        if act == "identity":

            def affine() -> None:
                product()
                add(y, b, y)

            return affine
        epilogue = self.activation(act, y, y)

        def affine_act() -> None:
            product()
            if b is not None:
                add(y, b, y)
            epilogue()

        return affine_act

    def matmul_tn(self, x: Nd, dy: Nd, dw: Nd) -> Step:
        left = x.T
        return lambda: dot(left, dy, dw)

    def matmul_nt(self, dy: Nd, w: Nd, dx: Nd) -> Step:
        return bind_product(dy, w.T, dx)

    def sum_rows(self, dy: Nd, db: Nd) -> Step:
        ones = self.empty((len(dy),))
        ones.fill(1)
        return lambda: dot(ones, dy, db)  # BLAS gemv: three times as fast as add.reduce
