"""Shapes that every backend's ops ask for, and the ShapeError where they are others."""

from agentd.engine.backend.array import Array, Shape
from agentd.engine.errors import ShapeError


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
