// noise: weights with factorised Gaussian noise, and the slope of its scale (arXiv:1706.10295).
//
// Shapes   mu, sigma, w, dw, dsigma (rows, n) float32, left (rows,), right (n,).
// Launch   global (round_up(rows * ceil(n / WIDTH), local),), any local. Items past the end do
//          nothing.
// Mirror   engine/numpy_backend/noise.py.
// Bound    memory: 12 bytes a weight forward, 8 backward.
// Tuning   WIDTH: 16 on CPUs, 4 on GPUs.
#include "vector.clh"

__kernel void noisy_weight(
    const int rows,
    const int n,
    __global const float *mu, const ulong mu_at,
    __global const float *sigma, const ulong sigma_at,
    __global const float *left, const ulong left_at,
    __global const float *right, const ulong right_at,
    __global float *w, const ulong w_at)
{
    const int chunks = (n + WIDTH - 1) / WIDTH, item = get_global_id(0), row = item / chunks;
    if (row >= rows) return;
    const int at = item % chunks * WIDTH;
    const long first = (long)row * n;
    const vec noise = left[left_at + row] * load(n, at, right + right_at);
    const vec moved = load(n, at, mu + mu_at + first) + noise * load(n, at, sigma + sigma_at + first);
    store(moved, n, at, w + w_at + first);
}

__kernel void noisy_weight_backward(
    const int rows,
    const int n,
    __global const float *dw, const ulong dw_at,
    __global const float *left, const ulong left_at,
    __global const float *right, const ulong right_at,
    __global float *dsigma, const ulong dsigma_at)
{
    const int chunks = (n + WIDTH - 1) / WIDTH, item = get_global_id(0), row = item / chunks;
    if (row >= rows) return;
    const int at = item % chunks * WIDTH;
    const long first = (long)row * n;
    const vec noise = left[left_at + row] * load(n, at, right + right_at);
    store(noise * load(n, at, dw + dw_at + first), n, at, dsigma + dsigma_at + first);
}
