"""The ops of layers that walk through time."""

from typing import Protocol

from agentd.engine.backend.array import Array, Step


class RecurrentOps(Protocol):
    """Sequences come as (B, T, D) and are walked as (T, B, D), where one time lies together."""

    def swap(self, x: Array, y: Array) -> Step:
        """y[j, i] = x[i, j]. x (I, J, D), y (J, I, D)."""

    def lstm_cell(self, z: Array, c_tm1: Array, c: Array, h: Array) -> Step:
        """c = f c_tm1 + i g; h = o tanh(c). c_tm1, c, h (B, H).

        z (B, 4 H), in place: from sums to the gates i, f, o (sigmoid) and g (tanh), side by side.
        """

    def lstm_cell_backward(
        self, gates: Array, c_tm1: Array, c: Array, dh: Array, dc: Array, dz: Array
    ) -> Step:
        """With s = dc + dh o (1 - tanh(c)²): dz = s g i (1 - i) | s c_tm1 f (1 - f) |
        dh tanh(c) o (1 - o) | s i (1 - g²); dc = s f, in place.

        gates (B, 4 H) as lstm_cell left them, dz (B, 4 H) may be gates; the others (B, H).
        """

    def gru_cell(self, z: Array, a: Array, h_tm1: Array, h: Array) -> Step:
        """h = (1 - z) n + z h_tm1, the gates z, r sigmoid and n = tanh(z_n + r a_n).

        z (B, 3 H), in place: from what the input gives to the gates z, r, n, side by side. a
        (B, 3 H): what h_tm1 gives to each. h_tm1, h (B, H), not one array.
        """

    def gru_cell_backward(
        self, gates: Array, a: Array, h_tm1: Array, dh: Array, dh_tm1: Array
    ) -> Step:
        """In place, gates = d loss / d (what the input gave), a = d loss / d a; dh_tm1 = dh z.

        gates, a (B, 3 H) as gru_cell left them; h_tm1, dh, dh_tm1 (B, H). What reaches h_tm1
        through ``a`` is left to the caller.
        """
