// td: Q-learning's bootstrapped target, and the loss with its gradient in one launch.
//
// Shapes   value, select, q, dq (rows, A) float32, value may be select; mask (rows, A) uint8,
//          1 = legal, read only if masked is 1; reward, discount, target (rows,); action (rows, N)
//          int32, td (rows, N) for N branches; weight (rows,) only if weighted is 1; loss (1,);
//          starts (N + 1,) int32, the first column of each branch, then A.
// Launch   td_target: global (round_up(rows, local),), any local. td_loss: one group, LANES items
//          that take turns at the rows, so the loss needs no second launch.
// Mirror   engine/numpy_backend/td.py: td_target, td_loss.
// Bound    latency: a batch is a few kilobytes; memory, 4 bytes a number of value and q.
// Tuning   LANES.
#include "vector.clh"

#define ILLEGAL -1e30f

__kernel void td_target(
    const int rows,
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
    value += value_at + (long)row * width, select += select_at + (long)row * width;
    mask += masked ? mask_at + (long)row * width : 0;
    float sum = 0.0f;
    for (int i = 0; i < branches; ++i) {
        int best = starts[i];
        float most = masked && mask[best] == 0 ? ILLEGAL : select[best];
        for (int a = best + 1; a < starts[i + 1]; ++a) {
            const float v = masked && mask[a] == 0 ? ILLEGAL : select[a];
            if (v > most || (isnan(v) && !isnan(most))) most = v, best = a;  // the first NaN wins
        }
        sum += value[best];
    }
    const float mean = sum * (1.0f / branches);
    target[target_at + row] = reward[reward_at + row] + discount[discount_at + row] * mean;
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void td_loss(
    const int rows,
    const int branches,
    __global const int *starts,
    __global const float *q, const ulong q_at,
    __global const int *action, const ulong action_at,
    __global const float *target, const ulong target_at,
    const int weighted,
    __global const float *weight, const ulong weight_at,
    const int bent,  // 0: half the square; 1: Huber's with delta
    const float delta,
    __global float *dq, const ulong dq_at,
    __global float *td, const ulong td_at,
    __global float *loss, const ulong loss_at)
{
    __local float shared[LANES];
    const int width = starts[branches];
    const float share = 1.0f / (rows * branches);
    float sum = 0.0f;
    q += q_at, dq += dq_at, action += action_at, td += td_at;
    for (int row = get_local_id(0); row < rows; row += LANES) {
        const float w = weighted ? weight[weight_at + row] : 1.0f;
        for (int a = 0; a < width; ++a) dq[(long)row * width + a] = 0.0f;
        for (int i = 0; i < branches; ++i) {
            const int room = starts[i + 1] - starts[i] - 1;
            const int a = starts[i] + clamp(action[(long)row * branches + i], 0, room);
            const float d = target[target_at + row] - q[(long)row * width + a];
            const float slope = bent ? clip1(d, -delta, delta) : d;
            td[(long)row * branches + i] = d;
            dq[(long)row * width + a] = -slope * share * w;
            sum += w * slope * (d - 0.5f * slope);
        }
    }
    const float total = sum_lanes(sum, shared);
    if (get_local_id(0) == 0) loss[loss_at] = total * share;
}
