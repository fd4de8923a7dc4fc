// arithmetic: absolute values, sums, differences, products and quotients, a chunk of numbers per
// work-item, as IEEE 754 has them.
//
// Shapes   all arrays (n,) float32; y may be any of the others.
// Launch   global (round_up(ceil(n / CHUNK), local),), any local. Items past the end do nothing.
// Mirror   engine/numpy_backend/arithmetic.py: absolute, plus, minus, times, divide.
// Bound    memory: 12 bytes a number, 8 (absolute).
// Tuning   WIDTH, CHUNK.
#include "vector.clh"

__kernel void absolute(
    const int n,
    __global const float *x, const ulong x_at,
    __global float *y, const ulong y_at)
{
    FOR_CHUNK(at, n) store(fabs(load(n, at, x + x_at)), n, at, y + y_at);
}

#define PAIRWISE(name, op)                                                                         \
    __kernel void name(                                                                            \
        const int n,                                                                               \
        __global const float *a, const ulong a_at,                                                 \
        __global const float *b, const ulong b_at,                                                 \
        __global float *y, const ulong y_at)                                                       \
    {                                                                                              \
        FOR_CHUNK(at, n) store(load(n, at, a + a_at) op load(n, at, b + b_at), n, at, y + y_at);   \
    }

PAIRWISE(plus, +)
PAIRWISE(minus, -)
PAIRWISE(times, *)
PAIRWISE(divide, /)
