// td: Q-learning's bootstrapped target, the loss with its gradient, and both in one launch.
//
// Shapes   value, select, q, dq (rows, A) float32, value may be select; mask (rows, A) uint8,
//          1 = legal, read only if masked is 1; reward, discount, target (rows,); action (rows, N)
//          int32, td (rows, N) for N branches; weight (rows,) only if weighted is 1; loss (1,);
//          starts (N + 1,) int32, the first column of each branch, then A. Discount is gamma^n where
//          n steps were summed into reward, 0 where the episode terminated. With shared 1 all
//          branches have one error, that of the mean of their values.
// Launch   td_target: global (round_up(rows, local),), any local. td_loss, td_step: one group, LANES
//          items that take turns at the rows, so the loss needs no second launch.
// Mirror   engine/numpy_backend/td.py: td_target, td_loss, td_step.
// Bound    latency: a batch is a few kilobytes; memory, 4 bytes a number of value and q.
// Tuning   LANES.
#include "vector.clh"

#define ILLEGAL -1e30f

// reward + discount * mean over branches of the value of the best legal action.
static inline float target_of(
    const int row,
    const int branches,
    __global const int *starts,
    __global const float *value,
    __global const float *select,
    const int masked,
    __global const uchar *mask,
    const float reward,
    const float discount)
{
    const int width = starts[branches];
    value += (long)row * width, select += (long)row * width;
    mask += masked ? (long)row * width : 0;
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
    return reward + discount * (sum * (1.0f / branches));
}

// The mean over branches of the values of the actions taken.
static inline float mean_of(
    const int branches, __global const int *starts, __global const float *q,
    __global const int *action)
{
    float sum = 0.0f;
    for (int i = 0; i < branches; ++i)
        sum += q[starts[i] + clamp(action[i], 0, starts[i + 1] - starts[i] - 1)];
    return sum * (1.0f / branches);
}

// The row's loss, not yet shared out; writes the row's td and dq.
static inline float loss_of(
    const int row,
    const int branches,
    __global const int *starts,
    __global const float *q,
    __global const int *action,
    const float target,
    const float weight,
    const int bent,  // 0: half the square; 1: Huber's with delta
    const float delta,
    const int shared,  // 1: one error of all branches
    const float share,
    __global float *dq,
    __global float *td)
{
    const int width = starts[branches];
    float sum = 0.0f, common = 0.0f;
    if (shared)
        common = target
            - mean_of(branches, starts, q + (long)row * width, action + (long)row * branches);
    for (int a = 0; a < width; ++a) dq[(long)row * width + a] = 0.0f;
    for (int i = 0; i < branches; ++i) {
        const int room = starts[i + 1] - starts[i] - 1;
        const int a = starts[i] + clamp(action[(long)row * branches + i], 0, room);
        const float d = shared ? common : target - q[(long)row * width + a];
        const float slope = bent ? clip1(d, -delta, delta) : d;
        td[(long)row * branches + i] = d;
        dq[(long)row * width + a] = -slope * share * weight;
        sum += weight * slope * (d - 0.5f * slope);
    }
    return sum;
}

#define AHEAD                                                                                      \
    __global const float *value, const ulong value_at, __global const float *select,               \
        const ulong select_at, const int masked, __global const uchar *mask, const ulong mask_at,  \
        __global const float *reward, const ulong reward_at, __global const float *discount,       \
        const ulong discount_at
#define TARGET(row)                                                                                \
    target_of(row, branches, starts, value + value_at, select + select_at, masked,                 \
        mask + (masked ? mask_at : 0), reward[reward_at + (row)], discount[discount_at + (row)])

#define TAKEN                                                                                      \
    __global const float *q, const ulong q_at, __global const int *action, const ulong action_at,  \
        const int weighted, __global const float *weight, const ulong weight_at, const int bent,   \
        const float delta, const int shared
#define LOSS(row, goal)                                                                            \
    loss_of(row, branches, starts, q + q_at, action + action_at, goal,                             \
        weighted ? weight[weight_at + (row)] : 1.0f, bent, delta, shared, share, dq + dq_at,       \
        td + td_at)

__kernel void td_target(
    const int rows,
    const int branches,
    __global const int *starts,
    AHEAD,
    __global float *target, const ulong target_at)
{
    const int row = get_global_id(0);
    if (row < rows) target[target_at + row] = TARGET(row);
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void td_loss(
    const int rows,
    const int branches,
    __global const int *starts,
    TAKEN,
    __global const float *target, const ulong target_at,
    __global float *dq, const ulong dq_at,
    __global float *td, const ulong td_at,
    __global float *loss, const ulong loss_at)
{
    __local float lanes[LANES];
    const float share = 1.0f / (rows * branches);
    float sum = 0.0f;
    for (int row = get_local_id(0); row < rows; row += LANES)
        sum += LOSS(row, target[target_at + row]);
    const float total = sum_lanes(sum, lanes);
    if (get_local_id(0) == 0) loss[loss_at] = total * share;
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void td_step(
    const int rows,
    const int branches,
    __global const int *starts,
    AHEAD,
    TAKEN,
    __global float *target, const ulong target_at,
    __global float *dq, const ulong dq_at,
    __global float *td, const ulong td_at,
    __global float *loss, const ulong loss_at)
{
    __local float lanes[LANES];
    const float share = 1.0f / (rows * branches);
    float sum = 0.0f;
    for (int row = get_local_id(0); row < rows; row += LANES) {
        const float goal = TARGET(row);
        target[target_at + row] = goal;
        sum += LOSS(row, goal);
    }
    const float total = sum_lanes(sum, lanes);
    if (get_local_id(0) == 0) loss[loss_at] = total * share;
}
