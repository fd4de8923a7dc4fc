// gemm_panel: c = act(A B + bias) for CPUs: one work-item packs a panel of B and runs down the rows.
//
//              B, k x n           The panel, KC x NR, lies packed in local memory (L1). MR rows of A
//            +---+-----+---+      meet it at a time: MR * NV vectors of sums stay in registers, each
//            |   |panel|   |      step of k costs NV loads and MR broadcasts for MR * NV products.
//            +---+-----+---+
//   A, m x k
//   +------+ +---+-----+---+
//   |  MR  | |   |  C  |   |
//   +------+ +---+-----+---+
//
// Shapes   A (m, k), B (k, n), c (m, n), bias (n,) float32, row-major.
//          With GATHER 1 a is an image x (B, H, W, C) and A its windows, (B OH OW, KH KW C), which
//          exist only as tiles of MR x KC: a convolution whose input is never unfolded.
//          A[i, p] is a[i * k + p], with TA 1 a[p * m + i]; B[p, j] is b[p * n + j], with TB 1
//          b[j * k + p].
// Launch   global (ceil(n / NR), ceil(m / rows)), local (1, 1).
// Mirror   engine/numpy_backend/dense.py: affine, matmul_tn, matmul_nt; images.py: conv.
// Bound    arithmetic: 2 k operations a number of c.
// Tuning   MR rows and NV vectors of WIDTH in registers; KC numbers deep.
#include "vector.clh"
#include "epilogue.clh"

#ifndef TA
#define TA 0
#endif
#ifndef TB
#define TB 0
#endif
#ifndef MR
#define MR 8  // rows of sums in registers
#endif
#ifndef NV
#define NV 2  // vectors of sums a row
#endif
#ifndef KC
#define KC 256  // depth of the packed panel: KC * NV * WIDTH floats fit a first-level cache
#endif
#define NR (NV * WIDTH)
#ifndef GATHER
#define GATHER 0
#endif
#if GATHER
#include "window.clh"

// Taps [p, p + depth) of the windows at MR positions of x from ``row`` on, a line of ``tile`` each;
// x has ``size`` numbers. Taps of one row of the kernel lie side by side in memory, and those outside
// the image are 0. Copies go by whole vectors: what they write too far is overwritten by the next.
static inline void gather(
    WINDOW,
    __global const float *x, const int size,
    const int m, const int row, const int p, const int depth,
    __local float *tile)
{
    const int run = kernel_w * channels, begin = p / run;
    int j = row % out_w, i = row / out_w % out_h, b = row / out_w / out_h;
    for (int r = 0; r < MR; ++r) {
        const int top = i * stride_h - pad_h, side = j * stride_w - pad_w;
        const int from = clamp(-side, 0, kernel_w) * channels;
        const int to = clamp(width - side, 0, kernel_w) * channels;
        __local float *line = tile + r * KC - p;
        for (int u = begin, t = p; t < p + depth; ++u) {
            const int h = top + u, end = min((u + 1) * run, p + depth);
            const bool in = h >= 0 && h < height;
            const int first = in ? clamp(u * run + from, t, end) : end;
            const int last = in ? clamp(u * run + to, first, end) : end;
            const int at = ((b * height + h) * width + side) * channels - u * run;
            for (; t < first; ++t) line[t] = 0.0f;
            for (; t < last; t += WIDTH) VSTORE(load(size, at + t, x), 0, line + t);
            for (t = last; t < end; ++t) line[t] = 0.0f;
        }
        if (row + r + 1 < m && ++j == out_w) {  // past the end the last row stays: it is thrown away
            j = 0;
            if (++i == out_h) i = 0, ++b;
        }
    }
}
#define LEFT(i, q) tile[(i) * KC + (q)]
#else
#define LEFT(i, q) at[i][TA ? (long)(q) * m : (q)]
#endif

// Numbers [0, depth) x [0, NR) of B from (p, col), 0 past column n.
static inline void pack(
    __local float *panel,
    __global const float *b,
    const int n, const int k, const int p, const int depth, const int col)
{
#if TB
    for (int j = 0; j < NR; ++j) {
        __global const float *from = b + (long)(col + j) * k + p;
        if (col + j < n)
            for (int i = 0; i < depth; ++i) panel[i * NR + j] = from[i];
        else
            for (int i = 0; i < depth; ++i) panel[i * NR + j] = 0.0f;
    }
#else
    for (int i = 0; i < depth; ++i)
        for (int v = 0; v < NV; ++v)
            VSTORE(load(n, col + v * WIDTH, b + (long)(p + i) * n), v, panel + i * NR);
#endif
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void gemm(
#if GATHER
    WINDOW,
#endif
    const int m,
    const int n,
    const int k,
    const int rows,  // rows of c per work-item
    __global const float *a, const ulong a_at,
    __global const float *b, const ulong b_at,
    const int biased,
    __global const float *bias, const ulong bias_at,
    const int act,
    __global float *c, const ulong c_at)
{
    __local float panel[KC * NR];
    __local float edge[MR * NR];
#if GATHER
    __local float tile[MR * KC + WIDTH];
    const int size = m / (out_h * out_w) * height * width * channels;
#endif
    const int col = get_group_id(0) * NR;
    const int first = get_group_id(1) * rows;
    const int last = min(m, first + rows);
    a += a_at, b += b_at, c += c_at;

    for (int p = 0; p < k; p += KC) {
        const int depth = min(KC, k - p);
        pack(panel, b, n, k, p, depth, col);
        for (int row = first; row < last; row += MR) {
            vec sum[MR][NV];
#if GATHER
            gather(WINDOW_GIVEN, a, size, m, row, p, depth, tile);
#else
            __global const float *at[MR];
#endif
#pragma unroll
            for (int i = 0; i < MR; ++i) {
#if !GATHER
                const int r = min(row + i, m - 1);  // past the end: computed and thrown away
                at[i] = TA ? a + (long)p * m + r : a + (long)r * k + p;
#endif
#pragma unroll
                for (int v = 0; v < NV; ++v) sum[i][v] = (vec)(0.0f);
            }
            for (int q = 0; q < depth; ++q) {
                vec right[NV];
#pragma unroll
                for (int v = 0; v < NV; ++v) right[v] = VLOAD(v, panel + q * NR);
#pragma unroll
                for (int i = 0; i < MR; ++i) {
                    const vec left = (vec)(LEFT(i, q));
#pragma unroll
                    for (int v = 0; v < NV; ++v) sum[i][v] = mad(left, right[v], sum[i][v]);
                }
            }
            if (col + NR <= n) {
#pragma unroll
                for (int i = 0; i < MR; ++i) {
                    __global float *y = c + (long)(row + i) * n + col;
                    if (row + i >= last) continue;
#pragma unroll
                    for (int v = 0; v < NV; ++v)
                        VSTORE(p > 0 ? sum[i][v] + VLOAD(v, y) : sum[i][v], v, y);
                }
            } else {  // the last columns: by way of local memory, number by number
#pragma unroll
                for (int i = 0; i < MR; ++i)
#pragma unroll
                    for (int v = 0; v < NV; ++v) VSTORE(sum[i][v], v, edge + i * NR);
                for (int i = 0; i < min(MR, last - row); ++i)
                    for (int j = 0; j < n - col; ++j) {
                        __global float *y = c + (long)(row + i) * n + col + j;
                        *y = p > 0 ? *y + edge[i * NR + j] : edge[i * NR + j];
                    }
            }
            if (p + KC < k || (!biased && act == IDENTITY)) continue;
            for (int i = row; i < min(row + MR, last); ++i)  // still in the first-level cache
                for (int j = col; j < min(col + NR, n); j += WIDTH) {
                    vec done = load(n, j, c + (long)i * n);
                    if (biased) done += load(n, j, bias + bias_at);
                    store(activate(done, act), n, j, c + (long)i * n);
                }
        }
    }
}
