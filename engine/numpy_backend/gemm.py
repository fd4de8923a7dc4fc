"""Matrix products in one piece, or in several where OpenBLAS is faster so.

OpenBLAS multiplies small float32 matrices without packing them first, on processors with AVX-512
(`interface/gemm.c`, SMALL_MATRIX_OPT: m * n * k up to 10^6). A batch times a layer of 256 by 256 is
a little too large for that; cut into bands of rows it is not. Measured on Zen 4, one thread, NumPy
2.4: 64 rows 75 µs instead of 85, times the transposed weights 85 instead of 110.

How a product is cut depends on its shape, the processor and the number of threads, never on a
measurement: the same machine gives the same bits each time.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from agentd.engine.backend import Step
from agentd.engine.numpy_backend.memory import Nd
from agentd.engine.numpy_backend.trial import calls_in, fastest

TRIES = 20
"""Turns of each number of threads."""

TURN = 2e-3
"""Seconds of a turn, at least one step: to set a number of threads and wake them takes time too."""

_SMALL = 1_000_000
_CORES = {"SkylakeX", "Cooperlake", "SapphireRapids"}
_LONG, _WIDE = 128, 1 << 16  # rows of a batch, numbers of a weight matrix
_FLAT, _TALL = 4, 48  # rows of a band
_AREA = 1_200  # numbers of a band's result: above, OpenBLAS packs transposed weights for each band


def bind_product(a: Nd, b: Nd, out: Nd) -> Step:
    """Return the step that computes out = a @ b. a (m, k), b (k, n), out (m, n) contiguous."""
    rows = 0
    if a.ndim == 2 and a.dtype == np.float32 and a.flags.c_contiguous:
        rows = band_rows(len(a), *b.shape, transposed=not b.flags.c_contiguous)
    if not rows or not small_is_fast():
        return partial(a.dot, b, out)  # np.dot would first ask whose arrays these are
    bands = [(a[i : i + rows].dot, out[i : i + rows]) for i in range(0, len(a), rows)]

    def product() -> None:
        for dot, y in bands:
            dot(b, y)

    return product


def bind_rowwise(a: Nd, b: Nd, out: Nd) -> Step:
    """`bind_product`, so that a row of ``out`` depends on that row of ``a`` alone, to the bit.

    BLAS adds up a row in an order that depends on how many rows there are and on where it stands.
    All products here have the same few rows, in each of which it was seen to add alike.
    """
    rows = even_rows(*b.shape, a.dtype)
    whole = len(a) // rows * rows
    bands = [(a[i : i + rows].dot, out[i : i + rows]) for i in range(0, whole, rows)]
    rest, rest_out = np.zeros((rows, a.shape[1]), a.dtype), np.empty((rows, out.shape[1]), a.dtype)
    tail, last, count = a[whole:], out[whole:], len(a) - whole

    def product() -> None:
        for dot, y in bands:
            dot(b, y)
        if count:
            rest[:count] = tail
            rest.dot(b, rest_out)
            last[:] = rest_out[:count]

    return product


@cache
def even_rows(k: int, n: int, dtype: Any) -> int:
    """Return of how many rows products with a (k, n) matrix add up every row alike; 1 at worst."""
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((k, n)).astype(dtype), rng.standard_normal(k).astype(dtype)
    for rows in (8, 4, 2):
        found = set()
        for place in range(rows):
            a = rng.standard_normal((rows, k)).astype(dtype)
            a[place] = x
            found.add(a.dot(w)[place].tobytes())
        if len(found) == 1:
            return rows
    return 1


def band_rows(m: int, k: int, n: int, *, transposed: bool) -> int:
    """Return how many of a's m rows one band takes, or 0 for a product in one piece.

    ``transposed``: b lies in memory as (n, k). Each case is one that was measured to gain.
    """
    most = min(_TALL, _SMALL // (k * n) // 4 * 4)
    wide = m <= _LONG and k * n >= _WIDE and most >= _FLAT
    if transposed:
        rows = _FLAT if wide and _FLAT * n <= _AREA else 0
    else:
        rows = most if wide or (most >= 12 and m <= 2 * _LONG) else 0
    return rows if m > rows and m * k * n > _SMALL else 0


def small_is_fast() -> bool:
    """Whether NumPy's BLAS has the kernels, and one thread, so that no other core could help."""
    blas = _openblas()
    return blas is not None and blas() == 1


def choose_threads(make: Callable[[], Callable[[], object]], most: int) -> int:
    """Set BLAS to the number of threads with which a step runs fastest; return that number.

    ``make`` binds a step; it is called once with each number set, since products are cut by it. A
    short trial decides; more than one thread must gain. Other numbers may give other last bits:
    choose before training, and keep the choice.
    """

    from threadpoolctl import ThreadpoolController

    blas = ThreadpoolController().select(user_api="blas")  # it looks at every library: 0.4 ms
    steps = []
    for count in range(1, most + 1):
        blas.limit(limits=count)
        steps.append(make())
    blas.limit(limits=1)
    calls = calls_in(TURN, steps[0])

    def turn(count: int) -> None:
        blas.limit(limits=count)
        for _ in range(calls):
            steps[count - 1]()

    best = 1 + fastest([partial(turn, count) for count in range(1, most + 1)], rounds=TRIES)
    blas.limit(limits=best)
    return best


def limit_threads(count: int) -> None:
    """Let BLAS compute with ``count`` threads from here on."""
    from threadpoolctl import ThreadpoolController

    ThreadpoolController().select(user_api="blas").limit(limits=count)


@cache
def _openblas() -> Callable[[], int] | None:
    """Return what tells the number of threads of NumPy's OpenBLAS, or None for another BLAS."""
    from threadpoolctl import ThreadpoolController

    lib: Any
    for lib in ThreadpoolController().lib_controllers:
        numpys = Path(lib.filepath).parent.name.startswith("numpy")  # its wheel brings its own
        if numpys and lib.internal_api == "openblas" and lib.architecture in _CORES:
            return lambda: int(lib.num_threads)
    return None
