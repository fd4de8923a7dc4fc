"""Lines and boxes drawn with braille dots, 2 x 4 of them a character: small pictures of games."""

import numpy as np

_DOTS = np.array(((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80)))
_BLANK = 0x2800
DOTS_WIDE, DOTS_HIGH = 2, 4
"""Dots of one character."""


class Canvas:
    """``width`` x ``height`` characters of dots; dot (0, 0) is the upper left one.

    What lies outside is left out.
    """

    def __init__(self, width: int, height: int) -> None:
        self._dots = np.zeros((height * DOTS_HIGH, width * DOTS_WIDE), np.bool_)

    def box(self, left: float, top: float, right: float, bottom: float) -> None:
        """Fill all dots from (``left``, ``top``) to (``right``, ``bottom``), both among them."""
        rows, columns = self._dots.shape
        high = slice(min(max(round(top), 0), rows), max(round(bottom) + 1, 0))
        wide = slice(min(max(round(left), 0), columns), max(round(right) + 1, 0))
        self._dots[high, wide] = True

    def line(self, x: float, y: float, to_x: float, to_y: float, thick: int = 1) -> None:
        """Draw a line of ``thick`` dots."""
        steps = 1 + round(2 * max(abs(to_x - x), abs(to_y - y)))
        reach = (thick - 1) / 2
        for at in np.linspace(0.0, 1.0, steps):
            across, down = x + at * (to_x - x), y + at * (to_y - y)
            self.box(across - reach, down - reach, across + reach, down + reach)

    def lines(self) -> list[str]:
        """The picture, line by line."""
        rows, columns = self._dots.shape
        cells = self._dots.reshape(rows // DOTS_HIGH, DOTS_HIGH, columns // DOTS_WIDE, DOTS_WIDE)
        codes = _BLANK + (cells * _DOTS[:, None]).sum(axis=(1, 3))
        return ["".join(map(chr, row)) for row in codes]
