// implicit: features of fractions for implicit quantiles, and rows multiplied with them.
//
// Shapes   tau (R,), out (R, cosines); x, dx (rows, e), y, dy (rows n, e), phi (R, e) float32, where
//          R is rows n, or n where all rows share their fractions. Row b n + i is row b at its
//          fraction i. items are the numbers that a kernel writes.
// Launch   global (round_up(items, local),), any local. Items past the end do nothing.
// Mirror   engine/numpy_backend/implicit.py; modulate_backward is modulate by dy, and modulate_dx.
// Bound    memory: 12 bytes a number of y; arithmetic for the cosines.
#pragma OPENCL FP_CONTRACT OFF

__kernel void cosines(
    const int items,
    const int cosines,
    __global const float *tau, const ulong tau_at,
    __global float *out, const ulong out_at)
{
    const int item = get_global_id(0);
    if (item >= items) return;
    const float turns = tau[tau_at + item / cosines] * (float)(item % cosines);
    out[out_at + item] = cos(M_PI_F * (turns - 2.0f * rint(0.5f * turns)));
}

__kernel void modulate(
    const int items,
    const int n,
    const int e,
    const int factors,
    __global const float *x, const ulong x_at,
    __global const float *phi, const ulong phi_at,
    __global float *y, const ulong y_at)
{
    const int item = get_global_id(0);
    if (item >= items) return;
    const int row = item / e, at = item % e;
    y[y_at + item] = x[x_at + (long)(row / n) * e + at] * phi[phi_at + (long)(row % factors) * e + at];
}

__kernel void modulate_dx(
    const int items,
    const int n,
    const int e,
    __global const float *dy, const ulong dy_at,
    __global const float *phi, const ulong phi_at,
    __global float *dx, const ulong dx_at)
{
    const int item = get_global_id(0);
    if (item >= items) return;
    const long first = (long)(item / e) * n * e + item % e;
    dy += dy_at + first, phi += phi_at + first;
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) sum += dy[i * e] * phi[i * e];
    dx[dx_at + item] = sum;
}
