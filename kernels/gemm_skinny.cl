// gemm_skinny: c = act(A B + bias) for few rows of A: B streams through once, nothing is packed.
//
// Shapes   A (m, k) with m <= ROWS, B (k, n), c (m, n), bias (n,) float32, row-major.
// Launch   global (round_up(ceil(n / (WIDTH * COLS)), local),), any local. Items past n do nothing.
// Mirror   engine/numpy_backend/dense.py: affine.
// Bound    memory: 4 bytes a number of B.
// Tuning   ROWS of sums and COLS vectors a row in registers; WIDTH.
#include "vector.clh"
#include "epilogue.clh"

#ifndef ROWS
#define ROWS 1
#endif
#ifndef COLS
#define COLS 1
#endif

__kernel void gemm_skinny(
    const int m,
    const int n,
    const int k,
    __global const float *a, const ulong a_at,
    __global const float *b, const ulong b_at,
    const int biased,
    __global const float *bias, const ulong bias_at,
    const int act,
    __global float *c, const ulong c_at)
{
    const int col = get_global_id(0) * WIDTH * COLS;
    if (col >= n) return;
    a += a_at, b += b_at, c += c_at;
    vec sum[ROWS][COLS];
#pragma unroll
    for (int i = 0; i < ROWS; ++i)
#pragma unroll
        for (int v = 0; v < COLS; ++v) sum[i][v] = (vec)(0.0f);
    const bool whole = col + WIDTH * COLS <= n;
    for (int p = 0; p < k; ++p) {
        vec right[COLS];
#pragma unroll
        for (int v = 0; v < COLS; ++v)
            right[v] = whole ? VLOAD(v, b + (long)p * n + col)
                             : load(n, col + v * WIDTH, b + (long)p * n);
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            const vec left = (vec)(a[(long)min(i, m - 1) * k + p]);
#pragma unroll
            for (int v = 0; v < COLS; ++v) sum[i][v] = mad(left, right[v], sum[i][v]);
        }
    }
    float edge[ROWS * WIDTH * COLS];
#pragma unroll
    for (int i = 0; i < ROWS; ++i)
#pragma unroll
        for (int v = 0; v < COLS; ++v) VSTORE(sum[i][v], i * COLS + v, edge);
    for (int i = 0; i < m; ++i)
        for (int v = 0; v < COLS && col + v * WIDTH < n; ++v) {
            const int j = col + v * WIDTH;
            vec done = VLOAD(i * COLS + v, edge);
            if (biased) done += load(n, j, bias + bias_at);
            store(activate(done, act), n, j, c + (long)i * n);
        }
}
