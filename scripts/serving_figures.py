"""What every load of `bench_serving.py` sends, and the figures that it reports."""

from __future__ import annotations

import resource

import numpy as np

POOL = 64
SHAPES = {"net": (64, 6), "kmeans": (2, 100)}  # features, actions
SHAPES |= dict.fromkeys(("learns", "lives", "keeps-os", "keeps-1s", "keeps-always"), (64, 6))


def states(agent: str, rows: int) -> list[bytes]:
    """The pool's states, the same in every process: (rows, features) float32 each."""
    rng, features = np.random.default_rng(0), SHAPES[agent][0]
    return [rng.standard_normal((rows, features), dtype=np.float32).tobytes() for _ in range(POOL)]


def report(latencies: list[float], frames: int, rows: int, elapsed: float, errors: int) -> dict:
    """Rates, exact quantiles, a histogram of powers of two from 1 µs on, and this process's CPU."""
    times = np.sort(np.array(latencies)) if latencies else np.full(1, np.nan)
    used = resource.getrusage(resource.RUSAGE_SELF)
    buckets = np.bincount(np.log2(times * 1e6 + 1).astype(int)) if latencies else []
    return {
        "frames": frames,
        "frames_per_second": round(frames / elapsed, 1),
        "rows_per_second": round(frames * rows / elapsed),
        **{
            f"p{name}_ms": round(1e3 * float(times[min(len(times) - 1, int(q * len(times)))]), 4)
            for name, q in (("50", 0.5), ("99", 0.99), ("999", 0.999))
        },
        "max_ms": round(1e3 * float(times[-1]), 4),
        "over_16_7_ms": int((times > 1 / 60).sum()),
        "errors": errors,
        "elapsed": elapsed,
        "cpu": used.ru_utime + used.ru_stime,
        "histogram_log2_us": [int(n) for n in buckets],
    }
