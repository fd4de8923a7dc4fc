// gemm_mma: c = act(A B + bias) on NVIDIA's tensor cores, by inline PTX: mma.sync of one warp.
//
//   A group of 4 warps owns a tile of 64 x 64 numbers of c, a warp a quarter of it: 2 x 4 products of
//   16 x 8. In a warp lane = 4 g + t; a product's numbers lie with the lanes as PTX says:
//     A 16 x 8 (tf32)  a0 (g, t), a1 (g + 8, t), a2 (g, t + 4), a3 (g + 8, t + 4)
//     B 8 x 8 (tf32)   b0 (t, g), b1 (t + 4, g)
//     A, B (bf16)      the same with two numbers a register: 2t and 2t + 1 for t, 8 on for 4 on
//     C 16 x 8         c0 (g, 2t), c1 (g, 2t + 1), c2 (g + 8, 2t), c3 (g + 8, 2t + 1)
//
// Shapes   A (m, k), B (k, n), c (m, n), bias (n,) float32, row-major.
//          A[i, p] is a[i * k + p], with TA 1 a[p * m + i]; B[p, j] is b[p * n + j], with TB 1
//          b[j * k + p].
// Launch   global (128 * ceil(n / 64), ceil(m / 64)), local (128, 1).
// Mirror   engine/numpy_backend/dense.py: affine, matmul_tn, matmul_nt; to 1e-6 with PASSES 3, to 1e-3
//          (tf32) or 1e-2 (bf16) with 1.
// Bound    arithmetic: 2 k operations a number of c, PASSES times.
// Tuning   BF16 1: bfloat16, else tf32; PASSES 3: each number as the sum of two tf32, which keeps
//          float32's precision. On other devices than NVIDIA's a warp is 32 items that exchange
//          registers through local memory: slow, to prove the indices.
#include "vector.clh"
#include "epilogue.clh"

#ifndef TA
#define TA 0
#endif
#ifndef TB
#define TB 0
#endif
#ifndef BF16
#define BF16 0
#endif
#ifndef PASSES
#define PASSES 1
#endif
#define SIDE 64  // of a group's tile
#define BK 16  // depth of the tiles in local memory
#define PITCH (BK + 4)  // lines of 20 numbers: lanes (g, t) meet 32 different banks
#define ITEMS 128
#ifdef __NV_CL_C_VERSION
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif

#if BF16
#define DEEP 16  // depth of one product
// Two neighbours along k as one register, the first in the lower half.
#ifdef __NV_CL_C_VERSION
static inline uint pack(__local const float *at)
{
    uint both;
    __asm__("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(at[1]), "f"(at[0]));
    return both;
}
#else
static inline uint pack(__local const float *at)  // rounded half up: close enough for a proof
{
    return (as_uint(at[0]) + 0x8000u) >> 16 | ((as_uint(at[1]) + 0x8000u) & 0xffff0000u);
}
#endif
#define TAKE(x, line, t) pack((x) + (line) * PITCH + 2 * (t))
#define SHAPE "m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define DEEP 8
#define TAKE(x, line, t) as_uint((x)[(line) * PITCH + (t)])
#define SHAPE "m16n8k8.row.col.f32.tf32.tf32.f32"
#endif

static inline uint to_tf32(const uint x)
{
#if BF16
    return x;
#elif defined(__NV_CL_C_VERSION)
    uint y;
    __asm__("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(as_float(x)));
    return y;
#else
    return (x + 0x1000u) & 0xffffe000u;
#endif
}

#ifdef __NV_CL_C_VERSION
static inline void mma(const uint a[4], const uint b[2], float c[4], __local uint *unused)
{
    __asm__ volatile("mma.sync.aligned." SHAPE
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
static inline float times(const uint x, const uint y)
{
#if BF16
    return as_float(x << 16) * as_float(y << 16)
        + as_float(x & 0xffff0000u) * as_float(y & 0xffff0000u);
#else
    return as_float(x) * as_float(y);
#endif
}

static inline void mma(const uint a[4], const uint b[2], float c[4], __local uint *warps)
{
    const int item = get_local_id(0), g = item % 32 / 4, t = item % 4;
    __local uint *mine = warps + item * 6, *warp = warps + item / 32 * 32 * 6;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < 4; ++i) mine[i] = a[i];
    for (int i = 0; i < 2; ++i) mine[4 + i] = b[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < 4; ++i)
        for (int q = 0; q < 8; ++q) {
            const uint left = warp[(4 * g + q % 4) * 6 + i / 2 + q / 4 * 2];
            c[i] += times(left, warp[(4 * (2 * t + i % 2) + q % 4) * 6 + 4 + q / 4]);
        }
}
#endif

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void gemm(
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
    __local float left[SIDE * PITCH];
    __local float right[SIDE * PITCH];
#ifdef __NV_CL_C_VERSION
    __local uint *warps = 0;
#else
    __local uint warps[ITEMS * 6];
#endif
    const int item = get_local_id(0), g = item % 32 / 4, t = item % 4;
    const int row = get_group_id(1) * SIDE, col = get_group_id(0) * SIDE;
    const int down = item / 64 * 32, across = item / 32 % 2 * 32;  // of this warp's quarter
    a += a_at, b += b_at, c += c_at;

    float sum[2][4][4];
    UNROLL for (int i = 0; i < 32; ++i) sum[i / 16][i / 4 % 4][i % 4] = 0.0f;
    for (int p = 0; p < k; p += BK) {
        for (int at = item; at < SIDE * BK; at += ITEMS) {  // along the memory of A, whichever way
            const int i = TA ? at % SIDE : at / BK, q = TA ? at / SIDE : at % BK;
            const bool in = row + i < m && p + q < k;
            const long from = TA ? (long)(p + q) * m + row + i : (long)(row + i) * k + p + q;
            left[i * PITCH + q] = in ? a[from] : 0.0f;
        }
        for (int at = item; at < SIDE * BK; at += ITEMS) {
            const int j = TB ? at / BK : at % SIDE, q = TB ? at % BK : at / SIDE;
            const bool in = col + j < n && p + q < k;
            const long from = TB ? (long)(col + j) * k + p + q : (long)(p + q) * n + col + j;
            right[j * PITCH + q] = in ? b[from] : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        UNROLL for (int q = 0; q < BK; q += DEEP) {
            uint u[2][4], v[4][2];
            UNROLL for (int i = 0; i < 2; ++i)
                UNROLL for (int r = 0; r < 4; ++r) {
                    const int line = down + 16 * i + g + r % 2 * 8;
                    u[i][r] = TAKE(left + q, line, t + r / 2 * 4);
                }
            UNROLL for (int j = 0; j < 4; ++j)
                UNROLL for (int r = 0; r < 2; ++r)
                    v[j][r] = TAKE(right + q, across + 8 * j + g, t + r * 4);
            UNROLL for (int i = 0; i < 2; ++i)
                UNROLL for (int j = 0; j < 4; ++j) {
                    uint x[4], y[2];
                    UNROLL for (int r = 0; r < 4; ++r) x[r] = to_tf32(u[i][r]);
                    UNROLL for (int r = 0; r < 2; ++r) y[r] = to_tf32(v[j][r]);
#if PASSES == 3
                    uint less[4], fine[2];  // what rounding took away
                    UNROLL for (int r = 0; r < 4; ++r)
                        less[r] = to_tf32(as_uint(as_float(u[i][r]) - as_float(x[r])));
                    UNROLL for (int r = 0; r < 2; ++r)
                        fine[r] = to_tf32(as_uint(as_float(v[j][r]) - as_float(y[r])));
                    mma(less, y, sum[i][j], warps);
                    mma(x, fine, sum[i][j], warps);
#endif
                    mma(x, y, sum[i][j], warps);
                }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    UNROLL for (int i = 0; i < 32; ++i) {
        const int r = row + down + 16 * (i / 16) + g + i % 4 / 2 * 8;
        const int s = col + across + 8 * (i / 4 % 4) + 2 * t + i % 2;
        if (r < m && s < n) {
            const float done = sum[i / 16][i / 4 % 4][i % 4] + (biased ? bias[bias_at + s] : 0.0f);
            c[(long)r * n + s] = activate1(done, act);
        }
    }
}
