// normalize: LayerNorm over rows and BatchNorm over columns, forward and backward.
//
// Shapes   x, y, norm, dy, dx (rows, n) float32, dx may be dy; gain, bias, mean, variance, dgain,
//          dbias (n,); scale (rows,) for rows, (n,) for columns.
// Launch   row kernels: global (LANES, rows), local (LANES, 1), a group owns a row. Column kernels:
//          global (LANES, ceil(n / WIDTH)), local (LANES, 1), a group owns WIDTH columns and its
//          lanes take turns at the rows.
//          batch_norm_apply, batch_norm_dx: global (round_up(rows * ceil(n / WIDTH), local),), any
//          local.
// Mirror   engine/numpy_backend/norms.py: layer_norm, layer_norm_backward, batch_norm,
//          batch_norm_backward, batch_norm_apply.
// Bound    memory: x is read three times by the forward kernels, dy and norm twice by the backward.
// Tuning   WIDTH, LANES.
#include "vector.clh"

// The sum of every lane's v, known to all lanes. All items of the group must come here.
static inline vec sum_vecs(const vec v, __local float *shared)
{
#if LANES > 1
    const int lane = get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    VSTORE(v, lane, shared);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_ = LANES / 2; half_ > 0; half_ /= 2) {
        if (lane < half_) VSTORE(VLOAD(lane, shared) + VLOAD(lane + half_, shared), lane, shared);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    return VLOAD(0, shared);
#else
    return v;
#endif
}

#define ROW_KERNEL __kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void

ROW_KERNEL layer_norm(
    const int n,
    __global const float *x, const ulong x_at,
    __global const float *gain, const ulong gain_at,
    __global const float *bias, const ulong bias_at,
    const float eps,
    __global float *y, const ulong y_at,
    __global float *norm, const ulong norm_at,
    __global float *scale, const ulong scale_at)
{
    __local float shared[LANES];
    const int row = get_group_id(1), lane = get_local_id(0);
    const long start = (long)row * n;
    x += x_at + start, y += y_at + start, norm += norm_at + start;
    vec sum = (vec)(0.0f);
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) sum += load(n, at, x);
    const float mean = sum_lanes(sum_of(sum), shared) / n;
    float squares = 0.0f;
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec d = load(n, at, x) - mean;
        store(d, n, at, norm);
        const vec kept = load(n, at, norm);  // 0 past the end, where d is -mean
        squares += sum_of(kept * kept);
    }
    const float root = 1.0f / sqrt(sum_lanes(squares, shared) / n + eps);
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec v = load(n, at, norm) * root;
        store(v, n, at, norm);
        store(v * load(n, at, gain + gain_at) + load(n, at, bias + bias_at), n, at, y);
    }
    if (lane == 0) scale[scale_at + row] = root;
}

ROW_KERNEL layer_norm_dx(
    const int n,
    __global const float *dy, const ulong dy_at,
    __global const float *gain, const ulong gain_at,
    __global const float *norm, const ulong norm_at,
    __global const float *scale, const ulong scale_at,
    __global float *dx, const ulong dx_at)
{
    __local float shared[LANES];
    const int row = get_group_id(1), lane = get_local_id(0);
    const long start = (long)row * n;
    dy += dy_at + start, norm += norm_at + start, dx += dx_at + start;
    vec plain = (vec)(0.0f), along = (vec)(0.0f);
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec e = load(n, at, dy) * load(n, at, gain + gain_at);
        plain += e;
        along += e * load(n, at, norm);
    }
    const float mean = sum_lanes(sum_of(plain), shared) / n;
    const float slope = sum_lanes(sum_of(along), shared) / n, root = scale[scale_at + row];
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec e = load(n, at, dy) * load(n, at, gain + gain_at);
        store((e - mean - load(n, at, norm) * slope) * root, n, at, dx);
    }
}

// dgain = sum over rows of dy * norm, dbias = sum over rows of dy.
ROW_KERNEL gain_and_bias(
    const int rows,
    const int n,
    __global const float *dy, const ulong dy_at,
    __global const float *norm, const ulong norm_at,
    __global float *dgain, const ulong dgain_at,
    __global float *dbias, const ulong dbias_at)
{
    __local float shared[LANES * WIDTH];
    const int at = get_group_id(1) * WIDTH, lane = get_local_id(0);
    vec gain = (vec)(0.0f), bias = (vec)(0.0f);
    for (int b = lane; b < rows; b += LANES) {
        const vec d = load(n, at, dy + dy_at + (long)b * n);
        gain += d * load(n, at, norm + norm_at + (long)b * n);
        bias += d;
    }
    gain = sum_vecs(gain, shared);
    bias = sum_vecs(bias, shared);
    if (lane == 0) {
        store(gain, n, at, dgain + dgain_at);
        store(bias, n, at, dbias + dbias_at);
    }
}

ROW_KERNEL batch_norm(
    const int rows,
    const int n,
    __global const float *x, const ulong x_at,
    __global const float *gain, const ulong gain_at,
    __global const float *bias, const ulong bias_at,
    __global float *mean, const ulong mean_at,
    __global float *variance, const ulong variance_at,
    const float momentum,
    const float eps,
    __global float *y, const ulong y_at,
    __global float *norm, const ulong norm_at,
    __global float *scale, const ulong scale_at)
{
    __local float shared[LANES * WIDTH];
    const int at = get_group_id(1) * WIDTH, lane = get_local_id(0);
    x += x_at, y += y_at, norm += norm_at;
    vec sum = (vec)(0.0f);
    for (int b = lane; b < rows; b += LANES) sum += load(n, at, x + (long)b * n);
    const vec centre = sum_vecs(sum, shared) / (float)rows;
    vec squares = (vec)(0.0f);
    for (int b = lane; b < rows; b += LANES) {
        const vec d = load(n, at, x + (long)b * n) - centre;
        squares += d * d;
    }
    squares = sum_vecs(squares, shared);
    const vec root = 1.0f / sqrt(squares / (float)rows + eps);
    const vec g = load(n, at, gain + gain_at), o = load(n, at, bias + bias_at);
    for (int b = lane; b < rows; b += LANES) {
        const vec v = (load(n, at, x + (long)b * n) - centre) * root;
        store(v, n, at, norm + (long)b * n);
        store(v * g + o, n, at, y + (long)b * n);
    }
    if (lane == 0) {
        const vec spread = squares / (float)max(1, rows - 1);
        const vec old_mean = load(n, at, mean + mean_at), old = load(n, at, variance + variance_at);
        store(root, n, at, scale + scale_at);
        const vec moved_mean = old_mean + momentum * (centre - old_mean);
        const vec moved = old + momentum * (spread - old);  // an overflow must not stay in them
        store(select(old_mean, moved_mean, isfinite(spread)), n, at, mean + mean_at);
        store(select(old, moved, isfinite(spread)), n, at, variance + variance_at);
    }
}

__kernel void batch_norm_dx(
    const int rows,
    const int n,
    __global const float *dy, const ulong dy_at,
    __global const float *gain, const ulong gain_at,
    __global const float *norm, const ulong norm_at,
    __global const float *scale, const ulong scale_at,
    __global const float *dgain, const ulong dgain_at,
    __global const float *dbias, const ulong dbias_at,
    __global float *dx, const ulong dx_at)
{
    const int chunks = (n + WIDTH - 1) / WIDTH, item = get_global_id(0);
    if (item >= rows * chunks) return;
    const int at = item % chunks * WIDTH;
    const long start = (long)(item / chunks) * n;
    const vec along = load(n, at, norm + norm_at + start) * load(n, at, dgain + dgain_at);
    const vec flat = along + load(n, at, dbias + dbias_at);
    const vec factor = load(n, at, gain + gain_at) * load(n, at, scale + scale_at);
    const vec d = load(n, at, dy + dy_at + start) - flat * (1.0f / rows);
    store(d * factor, n, at, dx + dx_at + start);
}

__kernel void batch_norm_apply(
    const int rows,
    const int n,
    __global const float *x, const ulong x_at,
    __global const float *gain, const ulong gain_at,
    __global const float *bias, const ulong bias_at,
    __global const float *mean, const ulong mean_at,
    __global const float *variance, const ulong variance_at,
    const float eps,
    __global float *y, const ulong y_at)
{
    const int chunks = (n + WIDTH - 1) / WIDTH, item = get_global_id(0);
    if (item >= rows * chunks) return;
    const int at = item % chunks * WIDTH;
    const long start = (long)(item / chunks) * n;
    const vec root = 1.0f / sqrt(load(n, at, variance + variance_at) + eps);
    const vec d = load(n, at, x + x_at + start) - load(n, at, mean + mean_at);
    const vec v = d * (root * load(n, at, gain + gain_at)) + load(n, at, bias + bias_at);
    store(v, n, at, y + y_at + start);
}
