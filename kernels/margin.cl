// margin: the loss of demonstrated actions, and the gradient of distributions' means that it needs.
//
// Shapes   q, dq (rows, A) float32; mask (rows, A) uint8, 1 = legal, read only if masked is 1;
//          action (rows, N) int32 for N branches; starts (N + 1,) int32, the first column of each
//          branch, then A; weight, loss (rows,); margin (1,); y, dy (rows, z, A).
// Launch   margin_loss: global (round_up(rows, local),); the others: (round_up(rows * A, local),).
//          Any local. Items past the end do nothing.
// Mirror   engine/numpy_backend/td.py: margin_loss; engine/numpy_backend/distributions.py.
// Bound    latency: a batch is a few kilobytes.
// Tuning   none.

#define ILLEGAL -1e30f

__kernel void margin_loss(
    const int rows,
    const int branches,
    __global const int *starts,
    __global const float *q, const ulong q_at,
    __global const int *action, const ulong action_at,
    const int masked,
    __global const uchar *mask, const ulong mask_at,
    __global const float *weight, const ulong weight_at,
    __global const float *margin, const ulong margin_at,
    __global float *dq, const ulong dq_at,
    __global float *loss, const ulong loss_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    const int width = starts[branches];
    const float lift = margin[margin_at];
    const float slope = weight[weight_at + row] * (1.0f / (rows * branches));
    q += q_at + (long)row * width, dq += dq_at + (long)row * width;
    action += action_at + (long)row * branches;
    mask += masked ? mask_at + (long)row * width : 0;
    float sum = 0.0f;
    for (int a = 0; a < width; ++a) dq[a] = 0.0f;
    for (int b = 0; b < branches; ++b) {
        const int first = starts[b], end = starts[b + 1];
        const int taken = first + clamp(action[b], 0, end - first - 1);
        int best = first;
        float most = 0.0f;
        for (int a = first; a < end; ++a) {
            const float legal = masked && mask[a] == 0 ? ILLEGAL : q[a];
            const float v = a == taken ? q[a] : legal + lift;
            if (a == first || v > most || (isnan(v) && !isnan(most))) most = v, best = a;
        }
        sum += most - q[taken];
        dq[best] += slope;
        dq[taken] -= slope;
    }
    loss[loss_at + row] = sum * (1.0f / branches);
}

__kernel void categorical_values_backward(
    const int rows,
    const int z,
    const int width,
    __global const float *y, const ulong y_at,
    const float low,
    const float gap,
    __global const float *q, const ulong q_at,
    __global const float *dq, const ulong dq_at,
    __global float *dy, const ulong dy_at)
{
    const int item = get_global_id(0);
    if (item >= rows * width) return;
    const long at = (long)(item / width) * z * width + item % width;
    y += y_at + at, dy += dy_at + at;
    const float value = q[q_at + item], slope = dq[dq_at + item];
    float most = y[0], total = 0.0f;
    for (int i = 1; i < z; ++i) {
        const float v = y[i * width];
        if (v > most || isnan(v)) most = v;
    }
    for (int i = 0; i < z; ++i) total += exp(y[i * width] - most);
    for (int i = 0; i < z; ++i)
        dy[i * width] += exp(y[i * width] - most) / total * (low + i * gap - value) * slope;
}

__kernel void quantile_values_backward(
    const int rows,
    const int z,
    const int width,
    __global const float *dq, const ulong dq_at,
    __global float *dy, const ulong dy_at)
{
    const int item = get_global_id(0);
    if (item >= rows * width) return;
    dy += dy_at + (long)(item / width) * z * width + item % width;
    for (int i = 0; i < z; ++i) dy[i * width] += dq[dq_at + item] * (1.0f / z);
}
