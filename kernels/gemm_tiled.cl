// gemm_tiled: c = act(A B + bias) for GPUs: a work-group computes a tile of c from tiles in local
// memory, each item TM x TN numbers of it in registers.
//
//                  B, k x n
//              +-----+-----+---+        BM = TM * GROUP rows, BN = TN * GROUP columns.
//           BK |     | BN  |   |        Item (x, y) owns rows y, y + GROUP, ... and columns
//   A, m x k   +-----+-----+---+        x, x + GROUP, ...: neighbours read neighbouring banks
//   +--+----+  +-----+-----+---+        and write neighbouring numbers of c.
//   |BK| BM |  |     |  C  |   |
//   +--+----+  +-----+-----+---+
//
// Shapes   A (m, k), B (k, n), c (m, n), bias (n,) float32, row-major.
//          With GATHER 1 a is an image x (B, H, W, C) and A its windows, (B OH OW, KH KW C), which
//          exist only as tiles in local memory: a convolution whose input is never unfolded.
//          A[i, p] is a[i * k + p], with TA 1 a[p * m + i]; B[p, j] is b[p * n + j], with TB 1
//          b[j * k + p].
// Launch   global (GROUP * ceil(n / BN), GROUP * ceil(m / BM)), local (GROUP, GROUP).
// Mirror   engine/numpy_backend/dense.py: affine, matmul_tn, matmul_nt; images.py: conv.
// Bound    arithmetic: 2 k operations a number of c.
// Tuning   GROUP, TM, TN, BK.
#include "vector.clh"
#include "epilogue.clh"

#ifndef TA
#define TA 0
#endif
#ifndef TB
#define TB 0
#endif
#ifndef GROUP
#define GROUP 16  // work-items along each side of a tile
#endif
#ifndef TM
#define TM 4  // rows of c per item
#endif
#ifndef TN
#define TN 4  // columns of c per item
#endif
#ifndef BK
#define BK 16  // depth of the tiles in local memory
#endif
#define BM (TM * GROUP)
#define BN (TN * GROUP)
#define ITEMS (GROUP * GROUP)
#define LOADS ((BM * BK + ITEMS - 1) / ITEMS)  // numbers of A that an item brings for a tile
#ifndef GATHER
#define GATHER 0
#endif
#if GATHER
#include "window.clh"
#endif

__kernel __attribute__((reqd_work_group_size(GROUP, GROUP, 1))) void gemm(
#if GATHER
    WINDOW,
#endif
    const int m,
    const int n,
    const int k,
    const int rows,  // not used here
    __global const float *a, const ulong a_at,
    __global const float *b, const ulong b_at,
    const int biased,
    __global const float *bias, const ulong bias_at,
    const int act,
    __global float *c, const ulong c_at)
{
    __local float left[BK][BM + 1];
    __local float right[BK][BN + 1];
    const int x = get_local_id(0), y = get_local_id(1), item = y * GROUP + x;
    const int row = get_group_id(1) * BM, col = get_group_id(0) * BN;
    a += a_at, b += b_at, c += c_at;

    float sum[TM][TN];
    for (int i = 0; i < TM; ++i)
        for (int j = 0; j < TN; ++j) sum[i][j] = 0.0f;

#if GATHER
    int top[LOADS], side[LOADS], begin[LOADS];  // where this item's rows' windows begin, for every p
    const int run = kernel_w * channels;
#pragma unroll
    for (int l = 0; l < LOADS; ++l) {
        const int r = row + (item + l * ITEMS) / BK;
        top[l] = r < m ? r / out_w % out_h * stride_h - pad_h : -kernel_h;  // no row: all outside
        side[l] = r % out_w * stride_w - pad_w;
        begin[l] = ((r / out_w / out_h * height + top[l]) * width + side[l]) * channels;
    }
#endif
    for (int p = 0; p < k; p += BK) {
#if GATHER
        const int tap = p + item % BK, u = tap / run, v = tap % run / channels;
        const int shift = u * width * channels + tap % run;
#pragma unroll
        for (int l = 0; l < LOADS; ++l) {
            const int at = item + l * ITEMS, h = top[l] + u, w = side[l] + v;
            const bool in = tap < k && h >= 0 && h < height && w >= 0 && w < width;
            if (at >= BM * BK) continue;
            left[at % BK][at / BK] = in ? a[begin[l] + shift] : 0.0f;
        }
#else
        for (int at = item; at < BM * BK; at += ITEMS) {  // along the memory of A, whichever way
            const int i = TA ? at % BM : at / BK, q = TA ? at / BM : at % BK;
            const bool in = row + i < m && p + q < k;
            const long from = TA ? (long)(p + q) * m + row + i : (long)(row + i) * k + p + q;
            left[q][i] = in ? a[from] : 0.0f;
        }
#endif
        for (int at = item; at < BN * BK; at += ITEMS) {
            const int j = TB ? at / BK : at % BN, q = TB ? at % BK : at / BN;
            const bool in = col + j < n && p + q < k;
            const long from = TB ? (long)(col + j) * k + p + q : (long)(p + q) * n + col + j;
            right[q][j] = in ? b[from] : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int q = 0; q < BK; ++q) {
            float u[TM], v[TN];
#pragma unroll
            for (int i = 0; i < TM; ++i) u[i] = left[q][y + i * GROUP];
#pragma unroll
            for (int j = 0; j < TN; ++j) v[j] = right[q][x + j * GROUP];
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int j = 0; j < TN; ++j) sum[i][j] = mad(u[i], v[j], sum[i][j]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int i = 0; i < TM; ++i) {
        const int r = row + y + i * GROUP;
        for (int j = 0; j < TN; ++j) {
            const int s = col + x + j * GROUP;
            if (r < m && s < n) {
                const float done = sum[i][j] + (biased ? bias[bias_at + s] : 0.0f);
                c[(long)r * n + s] = activate1(done, act);
            }
        }
    }
}
