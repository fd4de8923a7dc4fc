// munchausen: Munchausen-DQN's soft policy and reward, and targets that are means over a policy.
//
// Shapes   q, select, policy (rows, A) float32; masks (rows, A) uint8, 1 = legal, read only if
//          their flag is 1; action (rows, N) int32 for N branches; starts (N + 1,) int32, the first
//          column of each branch, then A; reward, discount, augmented (rows,). value (rows, A) of
//          expected_target with target (rows,), else (rows, z, A); quantile target (rows, N z);
//          p, atoms (rows, z).
// Launch   global (round_up(rows, local),), any local. Items past the rows do nothing.
// Mirror   engine/numpy_backend/munchausen.py.
// Bound    memory: 4 bytes a number of value, from cache where it is read again.

#define ILLEGAL -1e30f

static inline float legal_of(
    const int a, __global const float *q, const int masked, __global const uchar *mask)
{
    return masked && mask[a] == 0 ? ILLEGAL : q[a];
}

// The largest legal value of columns [first, end), and in ``total`` the sum of exponentials.
static inline float largest_of(
    const int first,
    const int end,
    __global const float *q,
    const int masked,
    __global const uchar *mask,
    const float width,
    float *total)
{
    float most = legal_of(first, q, masked, mask), sum = 0.0f;
    for (int a = first + 1; a < end; ++a) {
        const float v = legal_of(a, q, masked, mask);
        if (v > most || isnan(v)) most = v;
    }
    for (int a = first; a < end; ++a) sum += exp((legal_of(a, q, masked, mask) - most) / width);
    *total = sum;
    return most;
}

__kernel void munchausen(
    const int rows,
    const int branches,
    __global const int *starts,
    __global const float *q, const ulong q_at,
    const int masked_before,
    __global const uchar *mask_before, const ulong mask_before_at,
    __global const int *action, const ulong action_at,
    __global const float *select, const ulong select_at,
    const int masked,
    __global const uchar *mask, const ulong mask_at,
    const float alpha,
    const float tau,
    const float lowest,
    __global const float *reward, const ulong reward_at,
    __global const float *discount, const ulong discount_at,
    __global float *policy, const ulong policy_at,
    __global float *augmented, const ulong augmented_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int actions = starts[branches];
    const float width = branches * tau, share = 1.0f / branches;
    q += q_at + (long)row * actions, select += select_at + (long)row * actions;
    policy += policy_at + (long)row * actions, action += action_at + (long)row * branches;
    mask_before += masked_before ? mask_before_at + (long)row * actions : 0;
    mask += masked ? mask_at + (long)row * actions : 0;
    float own = 0.0f, entropy = 0.0f, total;
    for (int b = 0; b < branches; ++b) {
        const int first = starts[b], end = starts[b + 1];
        const int taken = first + clamp(action[b], 0, end - first - 1);
        float most = largest_of(first, end, q, masked_before, mask_before, width, &total);
        own += legal_of(taken, q, masked_before, mask_before) - most - width * log(total);
        most = largest_of(first, end, select, masked, mask, width, &total);
        for (int a = first; a < end; ++a) {
            const float v = legal_of(a, select, masked, mask) - most;
            policy[a] = exp(v / width) / total;
            entropy -= policy[a] * (v - width * log(total));
        }
    }
    own *= share;
    own = own < lowest ? lowest : own;  // a NaN stays one
    augmented[augmented_at + row] =
        reward[reward_at + row] + alpha * own + discount[discount_at + row] * (entropy * share);
}

__kernel void expected_target(
    const int rows,
    const int branches,
    __global const int *starts,
    __global const float *value, const ulong value_at,
    __global const float *policy, const ulong policy_at,
    __global const float *reward, const ulong reward_at,
    __global const float *discount, const ulong discount_at,
    __global float *target, const ulong target_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int actions = starts[branches];
    value += value_at + (long)row * actions, policy += policy_at + (long)row * actions;
    float sum = 0.0f;
    for (int a = 0; a < actions; ++a) sum += policy[a] * value[a];
    target[target_at + row] =
        reward[reward_at + row] + discount[discount_at + row] * (sum * (1.0f / branches));
}

__kernel void expected_quantiles(
    const int rows,
    const int z,
    const int branches,
    __global const int *starts,
    __global const float *value, const ulong value_at,
    __global const float *policy, const ulong policy_at,
    __global const float *reward, const ulong reward_at,
    __global const float *discount, const ulong discount_at,
    __global float *target, const ulong target_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int actions = starts[branches];
    const float r = reward[reward_at + row], d = discount[discount_at + row];
    value += value_at + (long)row * z * actions, policy += policy_at + (long)row * actions;
    target += target_at + (long)row * branches * z;
    for (int b = 0; b < branches; ++b)
        for (int i = 0; i < z; ++i) {
            float sum = 0.0f;
            for (int a = starts[b]; a < starts[b + 1]; ++a) sum += policy[a] * value[i * actions + a];
            target[b * z + i] = r + d * sum;
        }
}

__kernel void expected_mix(
    const int rows,
    const int z,
    const int branches,
    __global const int *starts,
    __global const float *value, const ulong value_at,
    __global const float *policy, const ulong policy_at,
    __global const float *reward, const ulong reward_at,
    __global const float *discount, const ulong discount_at,
    const float low,
    const float gap,
    __global float *p, const ulong p_at,
    __global float *atoms, const ulong atoms_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int actions = starts[branches];
    const float r = reward[reward_at + row], d = discount[discount_at + row];
    value += value_at + (long)row * z * actions, policy += policy_at + (long)row * actions;
    p += p_at + (long)row * z, atoms += atoms_at + (long)row * z;
    for (int i = 0; i < z; ++i) p[i] = 0.0f, atoms[i] = r + d * (low + i * gap);
    for (int a = 0; a < actions; ++a) {
        __global const float *y = value + a;
        float most = y[0], total = 0.0f;
        for (int i = 1; i < z; ++i)
            if (y[i * actions] > most || isnan(y[i * actions])) most = y[i * actions];
        for (int i = 0; i < z; ++i) total += exp(y[i * actions] - most);
        for (int i = 0; i < z; ++i)
            p[i] += policy[a] * exp(y[i * actions] - most) / (total * branches);
    }
}
