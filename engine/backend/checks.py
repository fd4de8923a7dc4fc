"""What every backend's ops ask of arrays, and the errors where they are others."""

from typing import Any

import numpy as np

from agentd.engine.backend.array import Array, Shape
from agentd.engine.errors import ArrayTypeError, ShapeError


def same_shape(what: str, a: Array, b: Array) -> None:
    """Refuse two arrays of different shapes."""
    if a.shape != b.shape:
        raise ShapeError(what, a.shape, b.shape)


def check_values(what: str, branches: Shape, a: Array, b: Array) -> None:
    """Refuse arrays that are not (B, A) for the A actions of all branches."""
    expected = (a.shape[0], sum(branches))
    if a.shape != expected or b.shape != expected:
        raise ShapeError(what, expected, a.shape if a.shape != expected else b.shape)


def check_action(y: Array, action: Array, branches: Shape) -> None:
    """Refuse distributions y that are not (B, Z, A) and actions that are not (B, N)."""
    expected = (y.shape[0], len(branches))
    if y.shape[2] != sum(branches) or action.shape != expected:
        raise ShapeError("action", expected, action.shape)


def distribution_sizes(what: str, y: Array, q: Array) -> tuple[int, int, int]:
    """Return B, Z and A. Raises ShapeError unless y is (B, Z, A) and q (B, A)."""
    batch, z, width = y.shape
    if q.shape != (batch, width):
        raise ShapeError(what, (batch, width), q.shape)
    return batch, z, width


def check_modulated(what: str, x: Array, phi: Array, y: Array) -> tuple[int, int, int]:
    """Return B, n and E of x (B, E) and y (B n, E). Raises ShapeError where phi is not (B n, E) or
    (n, E).
    """
    (batch, e), (rows, _) = x.shape, y.shape
    n = rows // batch if batch else 0
    if y.shape != (batch * n, e) or not n:
        raise ShapeError(what, (f"n * {batch}", e), y.shape)
    if phi.shape not in ((rows, e), (n, e)):
        raise ShapeError(f"{what} phi", (rows, e), phi.shape)
    return batch, n, e


def check_arrays(what: str, array_type: type, dtype: np.dtype[Any], **arrays: Any) -> None:
    """Refuse what is no ``array_type`` of ``dtype``."""
    for name, array in arrays.items():
        expected = f"{array_type.__name__} of {dtype}"
        if not isinstance(array, array_type):
            raise ArrayTypeError(f"{what} {name}", expected, type(array).__name__)
        found = getattr(array, "dtype", None)
        if found != dtype:
            raise ArrayTypeError(f"{what} {name}", expected, f"{array_type.__name__} of {found}")


def check_shapes(what: str, expected: Shape, **arrays: Array) -> None:
    """Refuse arrays of another shape than ``expected``."""
    for name, array in arrays.items():
        if array.shape != expected:
            raise ShapeError(f"{what} {name}", expected, array.shape)


def check_matmul(x: Array, w: Array, y: Array) -> None:
    """Refuse arrays that are not x (B, D), w (D, E) and y (B, E), or empty."""
    for name, array in (("x", x), ("w", w)):
        if len(array.shape) != 2 or 0 in array.shape:
            raise ShapeError(f"matmul {name}", "(rows, columns), neither 0", array.shape)
    check_shapes("matmul", (x.shape[1], w.shape[1]), w=w)
    check_shapes("matmul", (x.shape[0], w.shape[1]), y=y)


def check_extreme(what: str, x: Array, value: Array, index: Array) -> None:
    """Refuse an empty x, and results that are not (1,)."""
    if 0 in x.shape:
        raise ShapeError(f"{what} x", "of at least one number", x.shape)
    check_shapes(what, (1,), value=value, index=index)
