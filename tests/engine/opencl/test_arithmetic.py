"""Arithmetic on whole arrays: known answers, the same on every backend; sums against exact ones."""

import math
from typing import Any

import numpy as np
import pytest

from agentd.engine import tensor
from agentd.engine.errors import ArrayTypeError, EngineError, ShapeError
from agentd.engine.numpy_backend import NumPyBackend

INF, NAN = math.inf, math.nan
TINY = 2.0**-149  # the least subnormal float32
SMALL = 2.0**-126  # the least normal one
HUGE = (2 - 2.0**-23) * 2.0**127
SIZES = (1, 2, 255, 256, 257, 65_537)
REAL_SIZES = (*SIZES, 2**18 + 3)

VECTORS = {
    "absolute": [
        ([3, -3, 0.5, -0.5], [3, 3, 0.5, 0.5]),
        ([0.0, -0.0], [0.0, 0.0]),
        ([TINY, -TINY, SMALL, -SMALL], [TINY, TINY, SMALL, SMALL]),
        ([HUGE, -HUGE, INF, -INF, NAN], [HUGE, HUGE, INF, INF, NAN]),
    ],
    "add": [
        ([1, 2, -3], [10, -2, -4], [11, 0, -7]),
        ([0.0, -0.0, -0.0], [-0.0, 0.0, -0.0], [0.0, 0.0, -0.0]),
        ([TINY, SMALL, 2.0**24], [TINY, -TINY, 1], [2 * TINY, SMALL - TINY, 2.0**24]),
        ([HUGE, INF, INF, NAN], [HUGE, 1, -INF, 1], [INF, INF, NAN, NAN]),
    ],
    "subtract": [
        ([5, 5, -5, 0.1], [3, 8, -5, 0.1], [2, -3, 0, 0]),
        ([0.0, 0.0, -0.0, -0.0], [0.0, -0.0, 0.0, -0.0], [0.0, 0.0, -0.0, 0.0]),
        ([SMALL, TINY, 1 + 2.0**-23], [SMALL - TINY, 2 * TINY, 1], [TINY, -TINY, 2.0**-23]),
        ([HUGE, INF, INF, -INF, NAN], [-HUGE, 1, INF, INF, NAN], [INF, INF, NAN, -INF, NAN]),
    ],
    "multiply": [
        ([2, -3, 0.5], [4, 5, 0.5], [8, -15, 0.25]),
        ([0.0, -0.0, -0.0], [-2, 2, -2], [-0.0, -0.0, 0.0]),
        ([SMALL, TINY, -TINY], [0.5, 0.5, 2], [SMALL / 2, 0.0, -2 * TINY]),
        ([HUGE, INF, INF, NAN], [2, -2, 0, 0], [INF, -INF, NAN, NAN]),
    ],
    "divide": [
        ([6, 1, -7, 1], [3, 4, 2, 3], [2, 0.25, -3.5, 11184811 / 2.0**25]),
        ([1, -1, 1, -1], [0.0, 0.0, -0.0, -0.0], [INF, -INF, -INF, INF]),
        ([0.0, -0.0, NAN, 1], [0.0, 0.0, 0.0, NAN], [NAN, NAN, NAN, NAN]),
        ([0.0, -0.0, 0.0], [5, 5, -5], [0.0, -0.0, -0.0]),
        ([INF, INF, INF, 1, -1], [2, 0.0, INF, INF, INF], [INF, INF, NAN, 0.0, -0.0]),
        ([SMALL, TINY, HUGE, SMALL], [2, TINY, 0.5, HUGE], [SMALL / 2, 1, INF, 0.0]),
    ],
}  # what each maps its inputs to: the last list is the result


@pytest.mark.parametrize("op", VECTORS)
def test_known_answers_to_the_bit(everywhere: Any, op: str) -> None:
    for vector in VECTORS[op]:
        *given, expected = (np.array(numbers, np.float32) for numbers in vector)

        got = getattr(tensor, op)(everywhere, *map(everywhere.asarray, given))

        assert_same_bits(everywhere.to_host(got), expected, f"{op} {vector}")


@pytest.mark.parametrize("op", VECTORS)
def test_any_bits_give_what_float64_rounds_to(everywhere: Any, op: str) -> None:
    rng = np.random.default_rng(3)
    exact = {"absolute": np.absolute, "add": np.add, "subtract": np.subtract}
    exact |= {"multiply": np.multiply, "divide": np.divide}
    for n in SIZES:
        bits = rng.integers(2**32, size=(2, n), dtype=np.uint32)
        given = list(bits.view(np.float32))[: len(VECTORS[op][0]) - 1]
        with np.errstate(all="ignore"):  # float64 has bits enough: rounding twice is rounding once
            expected = exact[op](*(x.astype(np.float64) for x in given)).astype(np.float32)

        got = getattr(tensor, op)(everywhere, *map(everywhere.asarray, given))

        assert_same_bits(everywhere.to_host(got), expected, f"{op} n={n}")


def test_a_product_of_matrices_is_the_one_on_paper(everywhere: Any) -> None:
    x, w = np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([[1, -1], [0, 2], [10, 0.5]])

    y = tensor.matmul(everywhere, everywhere.asarray(x), everywhere.asarray(w))

    np.testing.assert_array_equal(everywhere.to_host(y), [[31, 4.5], [64, 9]])


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], 0.0),
        ([-0.0], 0.0),
        ([2.5], 2.5),
        ([1, 2, 3, 4], 10.0),
        ([2.0**24, 1, 1, -(2.0**24)], 2.0),  # plain float32 loses both ones
        ([1e8, 0.5, -1e8], 0.5),
        ([TINY] * 3, 3 * TINY),
        ([SMALL, -SMALL + TINY], TINY),
        ([HUGE, HUGE, -HUGE, 0], HUGE),  # no overflow on the way
        ([-HUGE, HUGE, -HUGE, HUGE], 0.0),
        ([HUGE, HUGE], INF),
        ([-HUGE, -HUGE], -INF),
        ([HUGE, HUGE, -INF], -INF),
        ([1, INF, 2], INF),
        ([INF, 1, -INF], NAN),
        ([1, NAN, INF], NAN),
    ],
)
def test_known_sums(everywhere: Any, numbers: list[float], expected: float) -> None:
    x = everywhere.asarray(np.array(numbers, np.float32))

    assert_same_bits(tensor.sum_all(everywhere, x), expected, str(numbers))


@pytest.mark.parametrize("n", REAL_SIZES)
@pytest.mark.parametrize("kind", ["ones", "normal", "wild", "cancelling", "huge"])
def test_sums_keep_their_bound(everywhere: Any, n: int, kind: str) -> None:
    x = numbers_to_sum(kind, n)
    exact = math.fsum(x.tolist())  # in float64, where no sum here overflows

    got = tensor.sum_all(everywhere, everywhere.asarray(x))

    bound = 2.0**-24 * abs(exact) + n * 2.0**-46 * np.abs(x.astype(np.float64)).sum()
    assert abs(got - exact) <= bound, f"{kind} n={n}: {got} for {exact}, bound {bound:.3g}"


def test_sums_and_extremes_where_a_part_overflows_on_its_own(everywhere: Any) -> None:
    x = np.zeros(300_000, np.float32)
    x[:4], x[-4:], x[150_000] = HUGE, -HUGE, 2.0**100

    assert tensor.sum_all(everywhere, everywhere.asarray(x)) == 2.0**100
    assert tensor.find_min(everywhere, everywhere.asarray(x)) == (-HUGE, 299_996)
    assert tensor.find_max(everywhere, everywhere.asarray(x)) == (HUGE, 0)


@pytest.mark.parametrize(
    ("numbers", "least", "greatest"),
    [
        ([7], (7, 0), (7, 0)),
        ([3, 1, 2, 1, 3], (1, 1), (3, 0)),  # ties: the first
        ([-1, -2, -2, -1], (-2, 1), (-1, 0)),
        ([0.0, -0.0], (0.0, 0), (0.0, 0)),
        ([-0.0, 0.0], (-0.0, 0), (-0.0, 0)),
        ([0.0, TINY, -TINY], (-TINY, 2), (TINY, 1)),
        ([SMALL, SMALL - TINY], (SMALL - TINY, 1), (SMALL, 0)),
        ([1, INF, -INF, INF, -INF], (-INF, 2), (INF, 1)),
        ([INF, INF], (INF, 0), (INF, 0)),
        ([-INF, 5, NAN, INF, NAN], (NAN, 2), (NAN, 2)),  # NaN before all, the first of them
        ([-NAN, 1], (NAN, 0), (NAN, 0)),
        ([[4, 9], [1, 9]], (1, 2), (9, 1)),
    ],
)
def test_known_extremes(everywhere: Any, numbers: Any, least: Any, greatest: Any) -> None:
    x = everywhere.asarray(np.array(numbers, np.float32))

    for find, (value, index) in ((tensor.find_min, least), (tensor.find_max, greatest)):
        got = find(everywhere, x)
        assert got[1] == index
        assert_same_bits(got[0], value, f"{numbers}")


@pytest.mark.parametrize("n", REAL_SIZES)
def test_extremes_of_many_numbers_are_numpys(everywhere: Any, n: int) -> None:
    rng = np.random.default_rng(n)
    few = rng.integers(-3, 4, n).astype(np.float32)  # ties everywhere
    places = (0, n // 2, n - 1)
    arrays = [few, rng.standard_normal(n).astype(np.float32)]
    arrays += [np.where(np.arange(n) == at, sign * 9, few) for at in places for sign in (-1, 1)]
    arrays += [np.where(np.arange(n) >= at, np.float32(NAN), few) for at in places]
    for x in arrays:
        x = x.astype(np.float32)
        placed = everywhere.asarray(x)
        for find, name in ((tensor.find_min, "argmin"), (tensor.find_max, "argmax")):
            value, index = find(everywhere, placed)
            assert index == getattr(x.astype(np.float64), name)(), f"{name} n={n}"
            assert_same_bits(value, x[index], f"{name} n={n}")


def test_steps_bound_once_read_views_and_write_in_place_each_time(everywhere: Any) -> None:
    x = everywhere.asarray(np.arange(2_004, dtype=np.float32) - 2)
    part = everywhere.rows(x, 3, 2_004)  # an unaligned start
    value, index = everywhere.zeros((1,)), everywhere.zeros((1,), "int32")
    steps = [everywhere.sum_all(part, value), everywhere.find_min(part, value, index)]
    negate = everywhere.minus(everywhere.zeros((2_001,)), part, part)
    found = []
    for _ in range(2):
        for step in steps:
            step()
            found.append(float(everywhere.to_host(value)[0]))
        found.append(int(everywhere.to_host(index)[0]))
        negate()

    assert found == [2_003_001, 1, 0, -2_003_001, -2_001, 2_000]
    np.testing.assert_array_equal(everywhere.to_host(x)[:4], [-2, -1, 0, 1])


def test_elementwise_ops_of_nothing_are_nothing(everywhere: Any) -> None:
    none = everywhere.zeros((0, 3))

    assert tensor.absolute(everywhere, none).shape == (0, 3)
    assert tensor.divide(everywhere, none, none).shape == (0, 3)


@pytest.mark.parametrize(
    ("op", "shapes", "told"),
    [
        ("add", [(2,), (3,)], "plus b: expected shape (2,), got (3,)"),
        ("subtract", [(2, 3), (3, 2)], "minus b: expected shape (2, 3), got (3, 2)"),
        ("multiply", [(2,), (1,)], "times b: expected shape (2,), got (1,)"),
        ("divide", [(2,), ()], "divide b: expected shape (2,), got ()"),
        ("matmul", [(2, 3), (2, 3)], "matmul w: expected shape (3, 3), got (2, 3)"),
        ("matmul", [(3,), (3, 1)], "matmul x: expected shape (rows, columns), neither 0, got (3,)"),
        ("matmul", [(2, 0), (0, 2)], "matmul x: expected shape (rows, columns), neither 0, got (2"),
        ("find_min", [(0,)], "find_min x: expected shape of at least one number, got (0,)"),
        ("find_max", [(4, 0)], "find_max x: expected shape of at least one number, got (4, 0)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(everywhere: Any, op: str, shapes: Any, told: str) -> None:
    with pytest.raises(ShapeError) as error:
        getattr(tensor, op)(everywhere, *(everywhere.zeros(shape) for shape in shapes))

    assert str(error.value).startswith(told)


@pytest.mark.parametrize("op", tensor.__all__)
def test_other_numbers_and_other_arrays_are_named(everywhere: Any, op: str) -> None:
    good = everywhere.zeros((2, 2))
    foreign = np.float32(1) if isinstance(everywhere, NumPyBackend) else np.zeros((2, 2), "f4")
    wrong = {"of int32": everywhere.zeros((2, 2), "int32"), type(foreign).__name__: foreign}
    for told, bad in wrong.items():
        for given in ([bad, good], [good, bad]) if op in BINARY else ([bad],):
            with pytest.raises(ArrayTypeError, match=f"expected .* of float32, got .*{told}"):
                getattr(tensor, op)(everywhere, *given)


BINARY = ("add", "subtract", "multiply", "divide", "matmul")


def test_results_of_another_kind_are_named(everywhere: Any) -> None:
    x, one = everywhere.zeros((3,)), everywhere.zeros((1,))
    for told, bind in (
        ("sum_all out: expected shape (1,), got (3,)", lambda: everywhere.sum_all(x, x)),
        ("find_min index: expected .* of int32", lambda: everywhere.find_min(x, one, one)),
        ("absolute y: expected shape (3,), got (1,)", lambda: everywhere.absolute(x, one)),
    ):
        with pytest.raises(EngineError, match=told.replace("(", r"\(").replace(")", r"\)")):
            bind()


def numbers_to_sum(kind: str, n: int) -> Any:
    rng = np.random.default_rng(n)
    x = rng.standard_normal(n)
    if kind == "ones":
        return np.full(n, 0.1, np.float32)
    if kind == "wild":
        x *= 10.0 ** rng.uniform(-40, 30, n)
    if kind == "huge":  # nearly all of its partial sums overflow
        x = HUGE * rng.uniform(0.5, 1, n)
    x = x.astype(np.float32)
    if kind in ("cancelling", "huge"):
        half = n // 2
        x[half : 2 * half] = -rng.permutation(x[:half])
    return x


def assert_same_bits(got: Any, expected: Any, what: str) -> None:
    """Equal numbers with equal signs of zero; NaN is NaN."""
    got, expected = np.asarray(got, np.float32), np.asarray(expected, np.float32)
    np.testing.assert_array_equal(got, expected, err_msg=what)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got)[known], np.signbit(expected)[known], err_msg=what)
