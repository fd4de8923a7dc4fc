// recurrent: exchanging batch and time, and one step of the cells of LSTM and GRU.
//
// Shapes   swap: x (rows, columns, n), y (columns, rows, n) float32.
//          lstm_cell: z (rows, 4 n) in place, c_tm1, c, h (rows, n).
//          lstm_cell_backward: gates, dz (rows, 4 n), dz may be gates; the others (rows, n).
//          The gates are i, f, o, g, side by side.
//          gru_cell: z (rows, 3 n) in place, a (rows, 3 n), h_tm1, h (rows, n); the gates are
//          z, r, n. gru_cell_backward: gates, a (rows, 3 n) in place; the others (rows, n).
// Launch   global (round_up(rows * columns * n, local),) or (round_up(rows * n, local),), any
//          local: one number an item. Items past the end do nothing.
// Mirror   engine/numpy_backend/recurrent.py: the same names.
// Bound    memory: 8 bytes a number (swap), 44 (lstm_cell), 56 (lstm_cell_backward),
//          44 (gru_cell), 60 (gru_cell_backward).

__kernel void swap(
    const int rows,
    const int columns,
    const int n,
    __global const float *x, const ulong x_at,
    __global float *y, const ulong y_at)
{
    const int item = get_global_id(0);
    if (item >= rows * columns * n) return;
    const int k = item % n, j = item / n % columns, i = item / n / columns;
    y[y_at + ((long)j * rows + i) * n + k] = x[x_at + item];
}

static inline float sigmoid(const float x) { return 0.5f * tanh(0.5f * x) + 0.5f; }

__kernel void lstm_cell(
    const int rows,
    const int n,
    __global float *z, const ulong z_at,
    __global const float *c_tm1, const ulong c_tm1_at,
    __global float *c, const ulong c_at,
    __global float *h, const ulong h_at)
{
    const int item = get_global_id(0);
    if (item >= rows * n) return;
    z += z_at + (long)(item / n) * 4 * n + item % n;
    const float i = sigmoid(z[0]), f = sigmoid(z[n]), o = sigmoid(z[2 * n]), g = tanh(z[3 * n]);
    z[0] = i, z[n] = f, z[2 * n] = o, z[3 * n] = g;
    const float now = f * c_tm1[c_tm1_at + item] + i * g;
    c[c_at + item] = now;
    h[h_at + item] = o * tanh(now);
}

__kernel void lstm_cell_backward(
    const int rows,
    const int n,
    __global const float *gates, const ulong gates_at,
    __global const float *c_tm1, const ulong c_tm1_at,
    __global const float *c, const ulong c_at,
    __global const float *dh, const ulong dh_at,
    __global float *dc, const ulong dc_at,
    __global float *dz, const ulong dz_at)
{
    const int item = get_global_id(0);
    if (item >= rows * n) return;
    const long row = (long)(item / n) * 4 * n + item % n;
    gates += gates_at + row, dz += dz_at + row;
    const float i = gates[0], f = gates[n], o = gates[2 * n], g = gates[3 * n];
    const float t = tanh(c[c_at + item]), up = dh[dh_at + item];
    const float s = dc[dc_at + item] + up * o * (1.0f - t * t);
    dz[0] = s * g * i * (1.0f - i);
    dz[n] = s * c_tm1[c_tm1_at + item] * f * (1.0f - f);
    dz[2 * n] = up * t * o * (1.0f - o);
    dz[3 * n] = s * i * (1.0f - g * g);
    dc[dc_at + item] = s * f;
}

__kernel void gru_cell(
    const int rows,
    const int n,
    __global float *z, const ulong z_at,
    __global const float *a, const ulong a_at,
    __global const float *h_tm1, const ulong h_tm1_at,
    __global float *h, const ulong h_at)
{
    const int item = get_global_id(0);
    if (item >= rows * n) return;
    const long row = (long)(item / n) * 3 * n + item % n;
    z += z_at + row, a += a_at + row;
    const float keep = sigmoid(z[0] + a[0]), reset = sigmoid(z[n] + a[n]);
    const float now = tanh(z[2 * n] + reset * a[2 * n]);
    z[0] = keep, z[n] = reset, z[2 * n] = now;
    h[h_at + item] = now + keep * (h_tm1[h_tm1_at + item] - now);
}

__kernel void gru_cell_backward(
    const int rows,
    const int n,
    __global float *gates, const ulong gates_at,
    __global float *a, const ulong a_at,
    __global const float *h_tm1, const ulong h_tm1_at,
    __global const float *dh, const ulong dh_at,
    __global float *dh_tm1, const ulong dh_tm1_at)
{
    const int item = get_global_id(0);
    if (item >= rows * n) return;
    const long row = (long)(item / n) * 3 * n + item % n;
    gates += gates_at + row, a += a_at + row;
    const float keep = gates[0], reset = gates[n], now = gates[2 * n], up = dh[dh_at + item];
    const float inner = up * (1.0f - keep) * (1.0f - now * now);
    const float d_keep = up * (h_tm1[h_tm1_at + item] - now) * keep * (1.0f - keep);
    const float d_reset = inner * a[2 * n] * reset * (1.0f - reset);
    gates[0] = a[0] = d_keep;
    gates[n] = a[n] = d_reset;
    gates[2 * n] = inner;
    a[2 * n] = inner * reset;
    dh_tm1[dh_tm1_at + item] = up * keep;
}
