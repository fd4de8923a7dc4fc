// distribution: values, targets and taken columns of value distributions (C51, QR-DQN).
//
// Shapes   y (rows, z, A) float32 logits or quantiles, select, q (rows, A); mask (rows, A) uint8,
//          1 = legal, read only if masked is 1; reward, discount (rows,); action (rows, N) int32 for
//          N branches; starts (N + 1,) int32, the first column of each branch, then A; p, atoms
//          (rows, z); quantile target (rows, N z); taken (N rows, z); loss (n,), weight (rows,).
// Launch   *_values: global (round_up(rows * A, local),); mean_loss: one group of LANES items; the
//          others: global (round_up(rows, local),). Any local. Items past the end do nothing.
// Mirror   engine/numpy_backend/distributions.py.
// Bound    memory: 4 bytes a number of y, once or three times from cache.
// Tuning   LANES.
#include "vector.clh"

#define ILLEGAL -1e30f

__kernel void categorical_values(
    const int rows,
    const int z,
    const int width,
    __global const float *y, const ulong y_at,
    const float low,
    const float gap,
    __global float *q, const ulong q_at)
{
    const int item = get_global_id(0);
    if (item >= rows * width) return;
    y += y_at + (long)(item / width) * z * width + item % width;
    float most = y[0], total = 0.0f, sum = 0.0f;
    for (int i = 1; i < z; ++i) {
        const float v = y[i * width];
        if (v > most || isnan(v)) most = v;
    }
    for (int i = 0; i < z; ++i) {
        const float e = exp(y[i * width] - most);
        total += e;
        sum += e * (low + i * gap);
    }
    q[q_at + item] = sum / total;
}

__kernel void quantile_values(
    const int rows,
    const int z,
    const int width,
    __global const float *y, const ulong y_at,
    __global float *q, const ulong q_at)
{
    const int item = get_global_id(0);
    if (item >= rows * width) return;
    y += y_at + (long)(item / width) * z * width + item % width;
    float sum = 0.0f;
    for (int i = 0; i < z; ++i) sum += y[i * width];
    q[q_at + item] = sum / z;
}

// The column of the largest legal value among [first, end); the first NaN wins, as in td_target.
static inline int best_of(
    const int first,
    const int end,
    __global const float *select,
    const int masked,
    __global const uchar *mask)
{
    int best = first;
    float most = masked && mask[best] == 0 ? ILLEGAL : select[best];
    for (int a = best + 1; a < end; ++a) {
        const float v = masked && mask[a] == 0 ? ILLEGAL : select[a];
        if (v > most || (isnan(v) && !isnan(most))) most = v, best = a;
    }
    return best;
}

__kernel void categorical_mix(
    const int rows,
    const int z,
    const int branches,
    __global const int *starts,
    __global const float *value, const ulong value_at,
    __global const float *select, const ulong select_at,
    const int masked,
    __global const uchar *mask, const ulong mask_at,
    __global const float *reward, const ulong reward_at,
    __global const float *discount, const ulong discount_at,
    const float low,
    const float gap,
    __global float *p, const ulong p_at,
    __global float *atoms, const ulong atoms_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int width = starts[branches];
    const float r = reward[reward_at + row], d = discount[discount_at + row];
    value += value_at + (long)row * z * width, select += select_at + (long)row * width;
    mask += masked ? mask_at + (long)row * width : 0;
    p += p_at + (long)row * z, atoms += atoms_at + (long)row * z;
    for (int i = 0; i < z; ++i) p[i] = 0.0f, atoms[i] = r + d * (low + i * gap);
    for (int b = 0; b < branches; ++b) {
        __global const float *y = value + best_of(starts[b], starts[b + 1], select, masked, mask);
        float most = y[0], total = 0.0f;
        for (int i = 1; i < z; ++i) most = y[i * width] > most ? y[i * width] : most;
        for (int i = 0; i < z; ++i) total += exp(y[i * width] - most);
        for (int i = 0; i < z; ++i) p[i] += exp(y[i * width] - most) / (total * branches);
    }
}

__kernel void quantile_target(
    const int rows,
    const int z,
    const int branches,
    __global const int *starts,
    __global const float *value, const ulong value_at,
    __global const float *select, const ulong select_at,
    const int masked,
    __global const uchar *mask, const ulong mask_at,
    __global const float *reward, const ulong reward_at,
    __global const float *discount, const ulong discount_at,
    __global float *target, const ulong target_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int width = starts[branches];
    const float r = reward[reward_at + row], d = discount[discount_at + row];
    value += value_at + (long)row * z * width, select += select_at + (long)row * width;
    mask += masked ? mask_at + (long)row * width : 0;
    target += target_at + (long)row * branches * z;
    for (int b = 0; b < branches; ++b) {
        __global const float *y = value + best_of(starts[b], starts[b + 1], select, masked, mask);
        for (int i = 0; i < z; ++i) target[b * z + i] = r + d * y[i * width];
    }
}

// The column of an action of branch b; one outside is the nearest.
static inline int column_of(__global const int *starts, const int b, const int action)
{
    return starts[b] + clamp(action, 0, starts[b + 1] - starts[b] - 1);
}

__kernel void take_action(
    const int rows,
    const int z,
    const int branches,
    __global const int *starts,
    __global const float *y, const ulong y_at,
    __global const int *action, const ulong action_at,
    __global float *taken, const ulong taken_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int width = starts[branches];
    y += y_at + (long)row * z * width, action += action_at + (long)row * branches;
    for (int b = 0; b < branches; ++b) {
        __global float *out = taken + taken_at + ((long)b * rows + row) * z;
        const int a = column_of(starts, b, action[b]);
        for (int i = 0; i < z; ++i) out[i] = y[i * width + a];
    }
}

__kernel void put_action(
    const int rows,
    const int z,
    const int branches,
    __global const int *starts,
    __global float *dy, const ulong dy_at,
    __global const int *action, const ulong action_at,
    __global const float *taken, const ulong taken_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int width = starts[branches];
    const float share = 1.0f / branches;
    dy += dy_at + (long)row * z * width, action += action_at + (long)row * branches;
    for (int i = 0; i < z * width; ++i) dy[i] = 0.0f;
    for (int b = 0; b < branches; ++b) {
        __global const float *d = taken + taken_at + ((long)b * rows + row) * z;
        const int a = column_of(starts, b, action[b]);
        for (int i = 0; i < z; ++i) dy[i * width + a] = d[i] * share;
    }
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void mean_loss(
    const int n,
    const int rows,
    __global const float *loss, const ulong loss_at,
    const int weighted,
    __global const float *weight, const ulong weight_at,
    __global float *out, const ulong out_at)
{
    __local float shared[LANES];
    float sum = 0.0f;
    for (int i = get_local_id(0); i < n; i += LANES)
        sum += loss[loss_at + i] * (weighted ? weight[weight_at + i % rows] : 1.0f);
    const float total = sum_lanes(sum, shared);
    if (get_local_id(0) == 0) out[out_at] = total / n;
}
