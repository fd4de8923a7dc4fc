"""Curves drawn with text: pure functions from numbers to lines."""

from collections.abc import Sequence

import numpy as np

# Braille cells are 2 dots wide and 4 high; bit of dot [row][column] (Unicode block 2800).
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800


def draw_curve(
    points: Sequence[tuple[float, float]],
    *,
    width: int = 64,
    height: int = 10,
    x_label: str = "steps",
    y_range: tuple[float, float] | None = None,
) -> list[str]:
    """Draw ``points`` (x, y), x ascending, as ``height`` + 2 lines of at most ``width`` columns.

    The y axis spans the finite values, or ``y_range``; non-finite points are left out. Fewer than
    two points give one line that says so.
    """
    data = np.array([p for p in points if np.isfinite(p).all()], dtype=np.float64).reshape(-1, 2)
    if len(data) < 2 or data[-1, 0] <= data[0, 0]:
        return ["(too few points for a curve)"]
    low, high = y_range or (float(data[:, 1].min()), float(data[:, 1].max()))
    high = high if high > low else low + 1.0
    labels = [f"{high:,.4g}", f"{(low + high) / 2:,.4g}", f"{low:,.4g}"]
    margin = max(map(len, labels))
    columns = max(8, width - margin - 2)
    cells = _plot(data, columns, height, low, high)
    at = {0: labels[0], (height - 1) // 2: labels[1], height - 1: labels[2]}
    lines = [f"{at.get(row, ''):>{margin}} ┤{cells[row]}" for row in range(height)]
    ends = f"{data[0, 0]:,.0f}", f"{data[-1, 0]:,.0f} {x_label}"
    lines.append(" " * margin + " └" + "─" * columns)
    gap = max(1, columns - len(ends[0]) - len(ends[1]))
    lines.append(" " * (margin + 2) + ends[0] + " " * gap + ends[1])
    return lines


def _plot(data: np.ndarray, columns: int, height: int, low: float, high: float) -> list[str]:
    """Rows of braille: one dot per column at the interpolated value, gaps filled vertically."""
    x = np.linspace(data[0, 0], data[-1, 0], columns * 2)
    y = np.interp(x, data[:, 0], data[:, 1])
    scaled = np.clip((y - low) / (high - low), 0.0, 1.0) * (height * 4 - 1)
    level = height * 4 - 1 - np.rint(scaled).astype(int)
    cells = np.full((height, columns), _BLANK)
    before = level[0]
    for at, now in enumerate(level):
        step = 1 if now >= before else -1
        for dot in range(before, now + step, step) if now != before else (now,):
            if dot != before or at == 0 or now == before:
                cells[dot // 4, at // 2] |= _DOTS[dot % 4][at % 2]
        before = now
    return ["".join(map(chr, row)) for row in cells]


def draw_spark(values: Sequence[float], width: int = 24) -> str:
    """One line of eighth blocks for ``values``, the newest to the right; "" for none."""
    finite = np.array([v for v in values if np.isfinite(v)], dtype=np.float64)[-width:]
    if not len(finite):
        return ""
    span = float(np.ptp(finite)) or 1.0
    levels = ((finite - finite.min()) / span * 7).astype(int)
    return "".join("▁▂▃▄▅▆▇█"[level] for level in levels)
