// elementwise: sums, products, blends, clipping and penalties, a chunk of numbers per work-item.
//
// Shapes   all arrays (n,) float32, y may be x; for add_row y (rows, n).
// Launch   global (round_up(ceil(n / CHUNK), local),), any local; for add_row a vector an item,
//          global (round_up(rows * ceil(n / WIDTH), local),). Items past the end do nothing.
// Mirror   engine/numpy_backend/memory.py: add, add_row, multiply, blend; optimizers.py: clip_value,
//          flush_to_zero, penalty.
// Bound    memory: 12 bytes a number (add, multiply, blend, penalty), 8 (clip_value, flush_to_zero).
// Tuning   WIDTH, CHUNK.
#include "vector.clh"

__kernel void add(
    const int n,
    __global const float *x, const ulong x_at,
    __global float *y, const ulong y_at)
{
    x += x_at, y += y_at;
    FOR_CHUNK(at, n) store(load(n, at, y) + load(n, at, x), n, at, y);
}

__kernel void add_row(
    const int rows,
    const int n,
    __global const float *row, const ulong row_at,
    __global float *y, const ulong y_at)
{
    const int chunks = (n + WIDTH - 1) / WIDTH, item = get_global_id(0);
    if (item >= rows * chunks) return;
    const int at = item % chunks * WIDTH;
    y += y_at + (long)(item / chunks) * n;
    store(load(n, at, y) + load(n, at, row + row_at), n, at, y);
}

__kernel void multiply(
    const int n,
    __global const float *x, const ulong x_at,
    __global float *y, const ulong y_at)
{
    x += x_at, y += y_at;
    FOR_CHUNK(at, n) store(load(n, at, y) * load(n, at, x), n, at, y);
}

__kernel void blend(
    const int n,
    __global const float *x, const ulong x_at,
    __global float *y, const ulong y_at,
    const float weight)
{
    x += x_at, y += y_at;
    FOR_CHUNK(at, n)
    {
        const vec old = load(n, at, y);
        store(old + weight * (load(n, at, x) - old), n, at, y);
    }
}

__kernel void clip_value(const int n, __global float *g, const ulong g_at, const float limit)
{
    g += g_at;
    FOR_CHUNK(at, n) store(clip(load(n, at, g), -limit, limit), n, at, g);
}

__kernel void flush_to_zero(const int n, __global float *x, const ulong x_at, const float tiny)
{
    x += x_at;
    FOR_CHUNK(at, n)
    {
        const vec v = load(n, at, x);
        store(fabs(v) < tiny ? (vec)(0.0f) : v, n, at, x);
    }
}

__kernel void penalty(
    const int n,
    __global const float *p, const ulong p_at,
    __global float *g, const ulong g_at,
    const float l1,
    const float l2)
{
    p += p_at, g += g_at;
    FOR_CHUNK(at, n)
    {
        const vec v = load(n, at, p);
        const vec plus = v > 0.0f ? (vec)(1.0f) : (v < 0.0f ? (vec)(-1.0f) : v);  // NaN and 0: v itself
        vec sum = load(n, at, g);
        if (l1 != 0.0f) sum += l1 * plus;
        if (l2 != 0.0f) sum += l2 * v;
        store(sum, n, at, g);
    }
}
