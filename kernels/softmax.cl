// softmax: cross-entropy of softmax(y) with a smoothed label or a distribution, loss and gradient in
// one launch.
//
// Shapes   y, target, dy (rows, n) float32; label (rows,) int32; mask (rows, n) uint8, 1 = legal, read only
//          if masked is 1; weight (rows,) only if weighted is 1; loss (rows,). dy is not y.
// Launch   global (LANES, rows), local (LANES, 1): a group owns a row.
// Mirror   engine/numpy_backend/losses.py: softmax_cross_entropy, soft_cross_entropy.
// Bound    memory: 16 bytes a number (y twice, dy written, read and written), the row in cache.
// Tuning   WIDTH, LANES.
#include "vector.clh"

#define ILLEGAL -1e30f

static inline vec legal_load(
    const int n, const int at, __global const float *y, __global const uchar *mask, const int masked)
{
    vec v = load(n, at, y);
    if (masked || at + WIDTH > n) {
        float part[WIDTH];
        VSTORE(v, 0, part);
        for (int i = 0; i < WIDTH; ++i) {
            if (at + i >= n) part[i] = -INFINITY;
            else if (masked && mask[at + i] == 0) part[i] = ILLEGAL;
        }
        v = VLOAD(0, part);
    }
    return v;
}

static inline float max_of(const vec v)
{
    float part[WIDTH];
    VSTORE(v, 0, part);
    float most = part[0];
    for (int i = 1; i < WIDTH; ++i) most = part[i] > most ? part[i] : most;
    return most;
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void softmax_cross_entropy(
    const int rows,
    const int n,
    __global const float *y, const ulong y_at,
    __global const int *label, const ulong label_at,
    const int masked,
    __global const uchar *mask, const ulong mask_at,
    const int weighted,
    __global const float *weight, const ulong weight_at,
    const float smoothing,
    __global float *dy, const ulong dy_at,
    __global float *loss, const ulong loss_at)
{
    __local float shared[LANES];
    const int row = get_group_id(1), lane = get_local_id(0);
    y += y_at + (long)row * n, dy += dy_at + (long)row * n;
    if (masked) mask += mask_at + (long)row * n;

    vec highest = (vec)(-INFINITY);
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec v = legal_load(n, at, y, mask, masked);
        highest = v > highest ? v : highest;
    }
    const float most = max_lanes(max_of(highest), shared);

    vec sum = (vec)(0.0f);
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec e = exp(legal_load(n, at, y, mask, masked) - most);
        sum += e;
        store(e, n, at, dy);
    }
    const float total = sum_lanes(sum_of(sum), shared);
    const float scale = 1.0f / total;

    float mean_log = 0.0f, count = n;
    if (smoothing > 0.0f) {
        float logs = 0.0f, legal = 0.0f;
        for (int c = lane; c < n; c += LANES)
            if (!masked || mask[c] != 0) legal += 1.0f, logs += (y[c] - most) - log(total);
        count = sum_lanes(legal, shared);
        mean_log = sum_lanes(logs, shared) / count;
    }
    const float share = (weighted ? weight[weight_at + row] : 1.0f) * (1.0f / rows);
    const float each = smoothing / count;
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        vec p = load(n, at, dy) * scale;
        if (smoothing > 0.0f) {
            float part[WIDTH];
            VSTORE(p, 0, part);
            for (int i = 0; i < WIDTH; ++i)
                if (at + i < n && (!masked || mask[at + i] != 0)) part[i] -= each;
            p = VLOAD(0, part);
        }
        store(p * share, n, at, dy);
    }
#if LANES > 1
    barrier(CLK_GLOBAL_MEM_FENCE);
#endif
    if (lane == 0) {
        const int c = clamp(label[label_at + row], 0, n - 1);
        const float at_label = masked && mask[c] == 0 ? ILLEGAL : y[c];
        const float hard = -((at_label - most) - log(total));
        loss[loss_at + row] = (1.0f - smoothing) * hard - smoothing * mean_log;
        dy[c] -= (1.0f - smoothing) * share;
    }
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void soft_cross_entropy(
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
    const int row = get_group_id(1), lane = get_local_id(0);
    y += y_at + (long)row * n, dy += dy_at + (long)row * n, target += target_at + (long)row * n;

    vec highest = (vec)(-INFINITY);
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec v = legal_load(n, at, y, 0, 0);
        highest = v > highest ? v : highest;
    }
    const float most = max_lanes(max_of(highest), shared);

    vec sum = (vec)(0.0f);
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec e = exp(legal_load(n, at, y, 0, 0) - most);
        sum += e;
        store(e, n, at, dy);
    }
    const float total = sum_lanes(sum_of(sum), shared), scale = 1.0f / total, shift = log(total);

    const float share = (weighted ? weight[weight_at + row] : 1.0f) * (1.0f / rows);
    vec cost = (vec)(0.0f);
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec t = load(n, at, target);
        cost += t * ((load(n, at, y) - most) - shift);
        store((load(n, at, dy) * scale - t) * share, n, at, dy);
    }
    const float all = sum_lanes(sum_of(cost), shared);
    if (lane == 0) loss[loss_at + row] = -all;
}
