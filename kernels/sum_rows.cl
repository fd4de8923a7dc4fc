// sum_rows: db[j] = sum over b of dy[b, j]
//
// Shapes   dy (rows, n), db (n,) float32.
// Launch   global (LANES, ceil(n / WIDTH)), local (LANES, 1): a group owns WIDTH columns, its lanes
//          take turns at the rows.
// Mirror   engine/numpy_backend/dense.py: sum_rows.
// Bound    memory: 4 bytes a number of dy.
// Tuning   WIDTH, LANES.
#include "vector.clh"

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void sum_rows(
    const int rows,
    const int n,
    __global const float *dy, const ulong dy_at,
    __global float *db, const ulong db_at)
{
    const int at = get_group_id(1) * WIDTH;
    const int lane = get_local_id(0);
    vec sum = (vec)(0.0f);
    __global const float *row = dy + dy_at + (long)lane * n;
    for (int b = lane; b < rows; b += LANES, row += (long)LANES * n) sum += load(n, at, row);
#if LANES > 1
    __local float shared[LANES * WIDTH];
    VSTORE(sum, lane, shared);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_ = LANES / 2; half_ > 0; half_ /= 2) {
        if (lane < half_)
            VSTORE(VLOAD(lane, shared) + VLOAD(lane + half_, shared), lane, shared);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    sum = VLOAD(0, shared);
#endif
    if (lane == 0) store(sum, n, at, db + db_at);
}

// sum_column: out[0] = sum of x (n,): one column, so the vector runs down the rows.
__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void sum_column(
    const int n,
    __global const float *x, const ulong x_at,
    __global float *out, const ulong out_at)
{
    __local float shared[LANES];
    vec sum = (vec)(0.0f);
    for (int at = get_local_id(0) * WIDTH; at < n; at += LANES * WIDTH)
        sum += load(n, at, x + x_at);
    const float total = sum_lanes(sum_of(sum), shared);
    if (get_local_id(0) == 0) out[out_at] = total;
}
