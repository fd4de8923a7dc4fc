// quantile: the quantile Huber loss (arXiv:1710.10044, equation 10) with its gradient.
//
// Shapes   y, dy, tau (rows, n), target (rows, m) float32; weight, loss (rows,); weight only if
//          weighted is 1, tau only if given is 1: without it the middles of n equal parts.
// Launch   global (LANES, rows), local (LANES, 1): a group owns a row, its lanes take turns at the
//          quantiles of y.
// Mirror   engine/numpy_backend/losses.py: quantile_huber.
// Bound    arithmetic: about 10 operations a pair of quantiles.
// Tuning   LANES.
#include "vector.clh"

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void quantile_huber(
    const int rows,
    const int n,
    const int m,
    __global const float *y, const ulong y_at,
    __global const float *target, const ulong target_at,
    const int weighted,
    __global const float *weight, const ulong weight_at,
    const int given,
    __global const float *tau, const ulong tau_at,
    const float kappa,
    __global float *dy, const ulong dy_at,
    __global float *loss, const ulong loss_at)
{
    __local float shared[LANES];
    const int row = get_group_id(1);
    const float share = (weighted ? weight[weight_at + row] : 1.0f) * (1.0f / rows);
    const float unit = 1.0f / (m * kappa);
    y += y_at + (long)row * n, dy += dy_at + (long)row * n, target += target_at + (long)row * m;
    tau += given ? tau_at + (long)row * n : 0;
    float cost = 0.0f;
    for (int i = get_local_id(0); i < n; i += LANES) {
        const float at = given ? tau[i] : (i + 0.5f) / n, mine = y[i];
        float slope = 0.0f, part = 0.0f;
        for (int j = 0; j < m; ++j) {
            const float u = target[j] - mine, side = u < 0.0f ? 1.0f - at : at;
            const float bent = clip1(u, -kappa, kappa);
            slope += side * bent;
            part += side * bent * (u - 0.5f * bent);
        }
        cost += part;
        dy[i] = -unit * slope * share;
    }
    const float total = sum_lanes(cost, shared);
    if (get_local_id(0) == 0) loss[loss_at + row] = total * unit;
}
