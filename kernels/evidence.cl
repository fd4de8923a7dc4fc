// evidence: the functions around Γ, and the Dirichlet loss of evidential learning with its gradient.
//
// Shapes   functions: x, y (n,) float32; y may be x. dirichlet: evidence, dy (rows, n) float32, label (rows,)
//          int32, pull (1,), loss (rows,); weight (rows,) only if weighted is 1.
// Launch   functions: global (round_up(ceil(n / CHUNK), local),), any local; items past n do nothing.
//          dirichlet: global (LANES, rows), local (LANES, 1): a group owns a row.
// Mirror   engine/numpy_backend/evidence.py: log_gamma, digamma, trigamma, dirichlet_loss.
// Bound    compute: about 80 operations a number, four logarithms and divisions among them.
// Tuning   WIDTH, CHUNK, LANES.
#include "vector.clh"
#include "gamma.clh"

#define FUNCTION(NAME)                                                                             \
    __kernel void NAME(                                                                            \
        const int n,                                                                               \
        __global const float *x, const ulong x_at,                                                 \
        __global float *y, const ulong y_at)                                                       \
    {                                                                                              \
        FOR_CHUNK(at, n) store(gammas(load(n, at, x + x_at)).NAME, n, at, y + y_at);               \
    }

FUNCTION(log_gamma)
FUNCTION(digamma)
FUNCTION(trigamma)

enum { BY_LOG, BY_DIGAMMA, BY_SQUARE };

// 1 for the numbers [at, at + WIDTH) of n classes that are there and not the label, 0 for others.
static inline vec wrong_ones(const int n, const int at, const int label)
{
    float part[WIDTH];
    for (int i = 0; i < WIDTH; ++i) part[i] = at + i < n && at + i != label ? 1.0f : 0.0f;
    return VLOAD(0, part);
}

// The evidence for wrong classes, 0 elsewhere; not a product, for the label's may be NaN.
static inline vec wrong_load(const int n, const int at, const int label, __global const float *evidence)
{
    return wrong_ones(n, at, label) > (vec)(0.0f) ? load(n, at, evidence) : (vec)(0.0f);
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void dirichlet(
    const int rows,
    const int n,
    const int form,
    __global const float *evidence, const ulong evidence_at,
    __global const int *label, const ulong label_at,
    const int weighted,
    __global const float *weight, const ulong weight_at,
    __global const float *pull, const ulong pull_at,
    const float log_gamma_n,
    __global float *dy, const ulong dy_at,
    __global float *loss, const ulong loss_at)
{
    __local float shared[LANES];
    const int row = get_group_id(1), lane = get_local_id(0);
    evidence += evidence_at + (long)row * n, dy += dy_at + (long)row * n;
    const int right = clamp(label[label_at + row], 0, n - 1);
    const float share = (weighted ? weight[weight_at + row] : 1.0f) * (1.0f / rows);
    const float lambda = pull[pull_at];

    vec sum = (vec)(0.0f), squares = (vec)(0.0f), masses = (vec)(0.0f);
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec e = wrong_load(n, at, right, evidence), here = wrong_ones(n, at, right);
        sum += e;
        squares += here * (e + 1.0f) * (e + 1.0f);
        masses += here * gammas(e + 1.0f).mass;
    }
    const float wrong = sum_lanes(sum_of(sum), shared) + n;  // S̃
    const float square = sum_lanes(sum_of(squares), shared);
    const float mass = sum_lanes(sum_of(masses), shared);
    const float a = evidence[right] + 1.0f, s = wrong + evidence[right];

    float part[WIDTH];
    for (int i = 0; i < WIDTH; ++i) part[i] = 1.0f;
    part[0] = wrong, part[1] = s, part[2] = a;
    const gammas_t totals = gammas(VLOAD(0, part));
    float psi[WIDTH], psi1[WIDTH], of[WIDTH];
    VSTORE(totals.digamma, 0, psi);
    VSTORE(totals.trigamma, 0, psi1);
    VSTORE(totals.mass, 0, of);

    float cost, base, at_label, scale = 0.0f;  // dy = base + scale * α, + at_label at the label
    if (form == BY_LOG) {
        cost = log1p((wrong - 1.0f) / a);
        base = 1.0f / s, at_label = -1.0f / a;
    } else if (form == BY_DIGAMMA) {
        cost = psi[1] - psi[2];
        base = psi1[1], at_label = -psi1[2];
    } else {
        const float p = a / s, q = (square + a * a) / (s * s), more = s + 1.0f;
        cost = 1.0f - 2.0f * p + q + (1.0f - q) / more;
        base = 2.0f * p / s - (1.0f - q) / (more * more) - 2.0f * q / more;
        at_label = -2.0f / s, scale = 2.0f / (more * s);
    }
    const float fall = (wrong - n) * psi1[0];
    for (int at = lane * WIDTH; at < n; at += LANES * WIDTH) {
        const vec e = wrong_load(n, at, right, evidence), here = wrong_ones(n, at, right);
        const vec slope = e * gammas(e + 1.0f).trigamma - fall;
        store((base + scale * (e + 1.0f) + here * lambda * slope) * share, n, at, dy);
    }
#if LANES > 1
    barrier(CLK_GLOBAL_MEM_FENCE);
#endif
    if (lane == 0) {
        const float kl = of[0] + (n - 1) * psi[0] - log_gamma_n - (mass + of[3]);
        loss[loss_at + row] = cost + lambda * kl;
        const float own = form == BY_LOG ? (1.0f - wrong) / (s * a) : base + scale * a + at_label;
        dy[right] = own * share;
    }
}
