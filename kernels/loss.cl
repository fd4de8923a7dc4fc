// loss: squared error, Huber's and binary cross-entropy, one number a row, with the gradient of the
// weighted mean.
//
// Shapes   y, target, dy (rows, n) float32; weight, loss (rows,); weight only if weighted is 1.
// Launch   global (LANES, rows), local (LANES, 1): a group owns a row.
// Mirror   engine/numpy_backend/losses.py: squared_error, huber, binary_cross_entropy.
// Bound    memory: 12 bytes a number.
// Tuning   WIDTH, LANES.
#include "vector.clh"

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void regression(
    const int rows,
    const int n,
    __global const float *y, const ulong y_at,
    __global const float *target, const ulong target_at,
    const int weighted,
    __global const float *weight, const ulong weight_at,
    const int bent,  // 0: squared error; 1: Huber's with delta
    const float delta,
    __global float *dy, const ulong dy_at,
    __global float *loss, const ulong loss_at)
{
    __local float shared[LANES];
    const int row = get_group_id(1);
    const long start = (long)row * n;
    const float share = (weighted ? weight[weight_at + row] : 1.0f) * (1.0f / rows);
    vec sum = (vec)(0.0f);
    for (int at = get_local_id(0) * WIDTH; at < n; at += LANES * WIDTH) {
        const vec d = load(n, at, y + y_at + start) - load(n, at, target + target_at + start);
        const vec slope = bent ? clip(d, -delta, delta) : d;
        sum += slope * (d - 0.5f * slope);
        store(slope * share, n, at, dy + dy_at + start);
    }
    const float total = sum_lanes(sum_of(sum), shared);
    if (get_local_id(0) == 0) loss[loss_at + row] = total;
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void binary_cross_entropy(
    const int rows,
    const int n,
    __global const float *y, const ulong y_at,
    __global const float *target, const ulong target_at,
    const int weighted,
    __global const float *weight, const ulong weight_at,
    __global float *dy, const ulong dy_at,
    __global float *loss, const ulong loss_at)
{
    __local float shared[LANES];
    const int row = get_group_id(1);
    const long start = (long)row * n;
    const float share = (weighted ? weight[weight_at + row] : 1.0f) * (1.0f / rows);
    float sum = 0.0f;
    for (int at = get_local_id(0) * WIDTH; at < n; at += LANES * WIDTH) {
        const vec v = load(n, at, y + y_at + start), t = load(n, at, target + target_at + start);
        vec cost = (v < 0.0f ? (vec)(0.0f) : v) + log1p(exp(-fabs(v))) - v * t;
        if (at + WIDTH > n) {  // past the end v is 0, its cost is not
            float part[WIDTH];
            VSTORE(cost, 0, part);
            for (int i = n - at; i < WIDTH; ++i) part[i] = 0.0f;
            cost = VLOAD(0, part);
        }
        sum += sum_of(cost);
        store((1.0f / (1.0f + exp(-v)) - t) * share, n, at, dy + dy_at + start);
    }
    const float total = sum_lanes(sum, shared);
    if (get_local_id(0) == 0) loss[loss_at + row] = total;
}
