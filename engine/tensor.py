"""Operations on whole arrays, each a call with a result.

    a, b = backend.asarray(np.float32([1, 4])), backend.asarray(np.float32([2, 4]))
    backend.to_host(tensor.divide(backend, a, b))      # [0.5, 1.0]
    tensor.find_max(backend, b)                        # (4.0, 1)

Every call makes new memory, and those that give Python numbers wait for the device: what runs often
binds the ops of ``Backend`` instead. ``ArithmeticOps`` says what each computes, how precisely, and
what it does with NaN, infinities and division by zero. All raise ShapeError for shapes that do not
fit, ArrayTypeError for what is no array of the backend's floats.
"""

from agentd.engine.backend import Array, Backend

__all__ = [
    "absolute",
    "add",
    "divide",
    "find_max",
    "find_min",
    "matmul",
    "multiply",
    "subtract",
    "sum_all",
]


def absolute(backend: Backend, x: Array) -> Array:
    """Return |x|."""
    y = backend.empty(x.shape)
    backend.absolute(x, y)()
    return y


def add(backend: Backend, a: Array, b: Array) -> Array:
    """Return a + b, of one shape."""
    y = backend.empty(a.shape)
    backend.plus(a, b, y)()
    return y


def subtract(backend: Backend, a: Array, b: Array) -> Array:
    """Return a - b, of one shape."""
    y = backend.empty(a.shape)
    backend.minus(a, b, y)()
    return y


def multiply(backend: Backend, a: Array, b: Array) -> Array:
    """Return a * b, element by element, of one shape."""
    y = backend.empty(a.shape)
    backend.times(a, b, y)()
    return y


def divide(backend: Backend, a: Array, b: Array) -> Array:
    """Return a / b, of one shape; by zero ±inf, and 0 / 0 is NaN."""
    y = backend.empty(a.shape)
    backend.divide(a, b, y)()
    return y


def matmul(backend: Backend, x: Array, w: Array) -> Array:
    """Return x @ w. x (B, D), w (D, E), neither empty."""
    y = backend.empty((*x.shape[:1], *w.shape[1:]))
    backend.matmul(x, w, y)()
    return y


def sum_all(backend: Backend, x: Array) -> float:
    """Return the sum of all numbers of x; 0 for none."""
    out = backend.empty((1,))
    backend.sum_all(x, out)()
    return float(backend.to_host(out)[0])


def find_min(backend: Backend, x: Array) -> tuple[float, int]:
    """Return the least number of x and where it stands first, in C order. x is not empty."""
    value, index = backend.empty((1,)), backend.empty((1,), "int32")
    backend.find_min(x, value, index)()
    return float(backend.to_host(value)[0]), int(backend.to_host(index)[0])


def find_max(backend: Backend, x: Array) -> tuple[float, int]:
    """Return the greatest number of x and where it stands first, in C order. x is not empty."""
    value, index = backend.empty((1,)), backend.empty((1,), "int32")
    backend.find_max(x, value, index)()
    return float(backend.to_host(value)[0]), int(backend.to_host(index)[0])
