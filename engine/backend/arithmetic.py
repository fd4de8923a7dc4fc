"""Plain arithmetic on whole arrays; ``agentd.engine.tensor`` has each as a call with a result."""

from typing import Protocol

from agentd.engine.backend.array import Array, Step


class ArithmeticOps(Protocol):
    """Elementwise arithmetic, the product of matrices, and sums and extremes of all numbers.

    Elementwise arrays have one shape, any one; y may be a, b or x. All follow IEEE 754 without a
    warning. Bound to other shapes they raise ShapeError, to others than the backend's own arrays
    of floats ArrayTypeError.
    """

    def absolute(self, x: Array, y: Array) -> Step:
        """y = |x|: the sign is dropped, so |-0| = 0 and |NaN| = NaN."""

    def plus(self, a: Array, b: Array, y: Array) -> Step:
        """y = a + b."""

    def minus(self, a: Array, b: Array, y: Array) -> Step:
        """y = a - b."""

    def times(self, a: Array, b: Array, y: Array) -> Step:
        """y = a * b."""

    def divide(self, a: Array, b: Array, y: Array) -> Step:
        """y = a / b. By zero: ±inf by both signs, NaN for 0 / 0 and where a or b is NaN.

        Correctly rounded, but on OpenCL devices that cannot: there within 2.5 units in the last
        place. Devices without subnormal numbers may take them, in any op, for zero.
        """

    def matmul(self, x: Array, w: Array, y: Array) -> Step:
        """y = x @ w. x (B, D), w (D, E), y (B, E), none of them empty; y is neither x nor w."""

    def sum_all(self, x: Array, out: Array) -> Step:
        """out[0] = Σ x over all n numbers, 0 for none. out (1,).

        In float32, with S the exact sum: |out - S| <= 2^-24 |S| + n 2^-46 Σ|x|, whatever the order.
        Overflow on the way does not count, only S itself rounds to ±inf. With an inf or NaN in x
        the sum is what IEEE 754 says: inf - inf = NaN. A sum of zeros is +0.
        """

    def find_min(self, x: Array, value: Array, index: Array) -> Step:
        """value[0] = the least number of x, index[0] = where it stands first, in C order.

        NaN goes before all numbers: with any, value is NaN and index the first NaN's. 0 and -0 are
        equal. x is not empty; value (1,), index (1,) int32.
        """

    def find_max(self, x: Array, value: Array, index: Array) -> Step:
        """As find_min, of the greatest number; NaN goes before all numbers here too."""
