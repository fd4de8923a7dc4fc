// whole_step: a small dense network's whole training step in one launch: forward, loss, backward,
// clipping, Adam, target network. One work-group does it all; barriers part the phases.
//
//   act, in local memory: every layer's outputs, a feature a line, ROWS numbers a line
//   +---------- ROWS ----------+
//   | x, SIZE 0 lines          |   Forward writes line by line downwards. Backward writes each
//   | layer 1, SIZE 1 lines    |   layer's gradient over its outputs, once they are used up.
//   | ...                      |   A batch larger than ROWS goes through in parts, which add up in g.
//   +--------------------------+
//
// Shapes   p, g, m, v, target (n,) float32, all in place; layer l's weights (size[l], size[l + 1]) at
//          w_at[l], its bias (size[l + 1],) at b_at[l], or -1 for none; plan as Net has it. figures (2,): loss, gradient norm.
//          q_step: x (2 rows, D), the first rows t-1, then t; action (rows, N) int32; reward, discount,
//          weight (rows,); mask (rows, A) uint8 at t; td (rows, N), goal (rows,).
//          fit_step: x (rows, D); label (rows,) int32 or goal (rows, K); weight (rows,); y (rows, K).
// Launch   global (ITEMS,), local (ITEMS,): one group. act and shared are local memory.
// Mirror   engine/numpy_backend: dense.py, td.py, losses.py and optimizers.py one after the other.
// Bound    latency on a GPU, whose one unit works; arithmetic on a CPU: 2 operations a weight and row,
//          6 times a DQN step with double Q, 3 times a supervised one.
// Tuning   ITEMS; TILE columns that a vector of rows meets at once; the arguments lines, a multiple of
//          WIDTH, and pitch, more than lines where that avoids bank conflicts.
#include "vector.clh"
#include "epilogue.clh"

#ifndef ITEMS
#define ITEMS 1  // work-items: a power of two
#endif
#ifndef TILE
#define TILE 6
#endif
#define ILLEGAL -1e30f

#include "net.clh"

// Clip g to `limit`, where that is positive, descend by Adam, let the target follow: copied where tau
// is 1, left alone where it is 0. Nothing of it when the loss or the norm is not finite.
static inline void descend(
    const int n, __global float *p, __global const float *g, __global float *m, __global float *v,
    __global float *target, __global float *figures, __local float *shared,
    const float loss, const float limit, const float tau,
    const float b1, const float b2, const float rate, const float eps, const float decay,
    const float shrink, const int adaptive)
{
    vec squares = (vec)(0.0f);
    SYNC();
    FOR_ITEMS(i, (n + WIDTH - 1) / WIDTH)
    {
        const vec d = load(n, i * WIDTH, g);
        squares += d * d;
    }
    const float norm = sqrt(sum_items(sum_of(squares), shared));
    if (get_local_id(0) == 0) figures[0] = loss, figures[1] = norm;
    if (!isfinite(loss) || !isfinite(norm)) return;
    const float scale = limit > 0.0f && norm > limit ? limit / norm : 1.0f;
    FOR_ITEMS(i, (n + WIDTH - 1) / WIDTH)
    {
        const int at = i * WIDTH;
        const vec old = load(n, at, p);
        vec d = load(n, at, g) * scale;
        if (decay != 0.0f) d += decay * old;
        const vec first = b1 * load(n, at, m) + d;
        const vec second = b2 * load(n, at, v) + d * d;
        store(first, n, at, m);
        store(second, n, at, v);
        const vec new = shrink * old - rate * (adaptive ? first / (sqrt(second) + eps) : first);
        store(new, n, at, p);
        if (tau == 1.0f) store(new, n, at, target);
        else if (tau != 0.0f) {
            const vec before = load(n, at, target);
            store(before + tau * (new - before), n, at, target);
        }
    }
}

static inline int last_line(const Net net)
{
    int at = 0;
    for (int l = 0; l < net.depth; ++l) at += net.size[l];
    return at;
}

// A row's bootstrapped value: the mean over branches of value at the legal argmax of select.
static inline float bootstrap(
    const int pitch, const int branches, __global const int *starts, __local const float *value,
    __local const float *select, const int masked, __global const uchar *mask)
{
    float sum = 0.0f;
    for (int i = 0; i < branches; ++i) {
        int best = starts[i];
        float most = masked && mask[best] == 0 ? ILLEGAL : select[best * pitch];
        for (int a = best + 1; a < starts[i + 1]; ++a) {
            const float v = masked && mask[a] == 0 ? ILLEGAL : select[a * pitch];
            if (v > most || (isnan(v) && !isnan(most))) most = v, best = a;  // the first NaN wins
        }
        sum += value[best * pitch];
    }
    return sum * (1.0f / branches);
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void q_step(
    const int depth,
    const int lines,  // ROWS
    const int pitch,
    __constant const int *plan,
    const int n,
    const int rows,
    const int branches,
    __global const int *starts,
    const int doubled,
    const int bent,  // 0: half the square; 1: Huber's with delta
    const float delta,
    const int common,  // 1: one error of all branches, that of their mean value
    const float limit,
    __local float *act,  // (Σ size, pitch)
    __local float *value,  // (A, pitch)
    __local float *shared,  // (ITEMS,)
    __global const float *x, const ulong x_at,
    __global const int *action, const ulong action_at,
    __global const float *reward, const ulong reward_at,
    __global const float *discount, const ulong discount_at,
    __global const uchar *mask, const ulong mask_at,
    const int weighted,
    __global const float *weight, const ulong weight_at,
    __global float *p, const ulong p_at,
    __global float *g, const ulong g_at,
    __global float *m, const ulong m_at,
    __global float *v, const ulong v_at,
    __global float *target, const ulong target_at,
    __global float *td, const ulong td_at,
    __global float *goal, const ulong goal_at,
    __global float *figures, const ulong figures_at,
    const int masked,
    const float tau,
    const float b1, const float b2, const float rate, const float eps, const float decay,
    const float shrink, const int adaptive)
{
    const Net net = make_net(depth, lines, pitch, plan);
    const int width = net.size[depth];
    const float share = 1.0f / (rows * branches);
    __local float *q = act + last_line(net) * net.pitch;
    float cost = 0.0f;
    x += x_at, p += p_at, g += g_at, target += target_at;
    action += action_at, td += td_at, mask += mask_at;
    for (int first = 0; first < rows; first += net.rows) {
        take_rows(net, rows, first, x + (long)rows * net.size[0], act);
        forward(net, target, act);
        FOR_ITEMS(at, width * net.pitch) value[at] = q[at];
        SYNC();
        if (doubled) forward(net, p, act);
        FOR_ITEMS(r, min(net.rows, rows - first))
        {
            const int row = first + r;
            __global const uchar *legal = mask + (masked ? (long)row * width : 0);
            goal[goal_at + row] = reward[reward_at + row]
                + discount[discount_at + row]
                    * bootstrap(net.pitch, branches, starts, value + r, q + r, masked, legal);
        }
        take_rows(net, rows, first, x, act);
        forward(net, p, act);
        FOR_ITEMS(r, net.rows)
        {
            const int row = first + r;
            if (row >= rows) {
                for (int a = 0; a < width; ++a) q[a * net.pitch + r] = 0.0f;
                continue;
            }
            const float w = weighted ? weight[weight_at + row] : 1.0f;
            float mean = 0.0f;
            for (int i = 0; common && i < branches; ++i) {
                const int room = starts[i + 1] - starts[i] - 1;
                const int a = starts[i] + clamp(action[(long)row * branches + i], 0, room);
                mean += q[a * net.pitch + r] * (1.0f / branches);
            }
            int next = 0;
            for (int i = 0; i < branches; ++i) {
                const int room = starts[i + 1] - starts[i] - 1;
                const int a = starts[i] + clamp(action[(long)row * branches + i], 0, room);
                const float was = q[a * net.pitch + r];
                const float d = goal[goal_at + row] - (common ? mean : was);
                const float slope = bent ? clip1(d, -delta, delta) : d;
                td[(long)row * branches + i] = d;
                cost += w * slope * (d - 0.5f * slope);
                for (; next < a; ++next) q[next * net.pitch + r] = 0.0f;
                float part[WIDTH];
                VSTORE(derivative((vec)(was), net.act[net.depth - 1]), 0, part);
                q[a * net.pitch + r] = -slope * share * w * part[0];
                next = a + 1;
            }
            for (; next < width; ++next) q[next * net.pitch + r] = 0.0f;
        }
        SYNC();
        backward(net, first > 0, p, act, g);
    }
    const float loss = sum_items(cost, shared) * share;
    descend(
        n, p, g, m + m_at, v + v_at, target, figures + figures_at, shared, loss, limit, tau, b1, b2,
        rate, eps, decay, shrink, adaptive);
}

// Softmax cross-entropy of one row of y, K numbers `pitch` apart: returns the loss, y becomes the gradient.
static inline float cross_entropy(
    const int pitch, const int k, const int label, const float share, __local float *y)
{
    float most = y[0], total = 0.0f;
    for (int c = 1; c < k; ++c) most = y[c * pitch] > most ? y[c * pitch] : most;
    const float there = y[clamp(label, 0, k - 1) * pitch];
    for (int c = 0; c < k; ++c) total += y[c * pitch] = exp(y[c * pitch] - most);
    for (int c = 0; c < k; ++c) {
        const float chance = y[c * pitch] * (1.0f / total);
        y[c * pitch] = share * (c == label ? chance - 1.0f : chance);
    }
    return -((there - most) - log(total));
}

// Half the squared error of one row of y, or Huber's loss: as above, against goal (K,).
static inline float regression(
    const int pitch, const int k, __global const float *goal, const int bent, const float delta,
    const float share, __local float *y)
{
    float cost = 0.0f;
    for (int c = 0; c < k; ++c) {
        const float d = y[c * pitch] - goal[c], slope = bent ? clip1(d, -delta, delta) : d;
        cost += slope * (d - 0.5f * slope);
        y[c * pitch] = slope * share;
    }
    return cost;
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void fit_step(
    const int depth,
    const int lines,  // ROWS
    const int pitch,
    __constant const int *plan,
    const int n,
    const int rows,
    const int is_class,
    const int bent,  // 0: half the square; 1: Huber's with delta
    const float delta,
    const float limit,
    __local float *act,  // (Σ size, pitch)
    __local float *shared,  // (ITEMS,)
    __global const float *x, const ulong x_at,
    __global const int *label, const ulong label_at,
    __global const float *goal, const ulong goal_at,
    __global const float *weight, const ulong weight_at,
    __global float *p, const ulong p_at,
    __global float *g, const ulong g_at,
    __global float *m, const ulong m_at,
    __global float *v, const ulong v_at,
    __global float *y, const ulong y_at,
    __global float *figures, const ulong figures_at,
    const float b1, const float b2, const float rate, const float eps, const float decay,
    const float shrink, const int adaptive)
{
    const Net net = make_net(depth, lines, pitch, plan);
    const int k = net.size[depth];
    __local float *out = act + last_line(net) * net.pitch;
    float cost = 0.0f;
    x += x_at, p += p_at, g += g_at, y += y_at, goal += goal_at;
    for (int first = 0; first < rows; first += net.rows) {
        take_rows(net, rows, first, x, act);
        forward(net, p, act);
        FOR_ITEMS(r, net.rows)
        {
            const int row = first + r;
            __local float *mine = out + r;
            const float share = row < rows ? weight[weight_at + row] / rows : 0.0f;
            for (int c = 0; c < k; ++c)
                if (row < rows) y[(long)row * k + c] = mine[c * net.pitch];
                else mine[c * net.pitch] = 0.0f;
            if (row >= rows) continue;
            cost += is_class ? cross_entropy(net.pitch, k, label[label_at + row], share, mine)
                             : regression(net.pitch, k, goal + (long)row * k, bent, delta, share, mine);
            if (net.act[net.depth - 1] == IDENTITY) continue;
            for (int c = 0; c < k; ++c) {
                float part[WIDTH];
                VSTORE(derivative((vec)(y[(long)row * k + c]), net.act[net.depth - 1]), 0, part);
                mine[c * net.pitch] *= part[0];
            }
        }
        SYNC();
        backward(net, first > 0, p, act, g);
    }
    descend(
        n, p, g, m + m_at, v + v_at, p, figures + figures_at, shared, sum_items(cost, shared), limit,
        0.0f, b1, b2, rate, eps, decay, shrink, adaptive);
}
