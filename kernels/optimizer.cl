// optimizer: one fused descent of the flat vector, every number read and written once.
//
// Shapes   p, g, m, v, u, mean (n,) float32, all but g in place; d = g + decay * p.
// Launch   global (round_up(ceil(n / CHUNK), local),), any local. Items past n do nothing.
// Mirror   engine/numpy_backend/optimizers.py: sgd, momentum, rmsprop, adagrad, adadelta, adam.
// Bound    memory: 12 bytes a number (sgd), 20 (momentum, rmsprop, adagrad), 28 (adam, adadelta,
//          centered rmsprop).
// Tuning   WIDTH, CHUNK.
#include "vector.clh"

// The slope at these numbers, with what weight decay adds to it.
static inline vec slope_of(
    const int n, const int at, __global const float *g, const vec old, const float decay)
{
    const vec d = load(n, at, g);
    return decay != 0.0f ? d + decay * old : d;
}

__kernel void sgd(
    const int n,
    __global float *p, const ulong p_at,
    __global const float *g, const ulong g_at,
    const float lr,
    const float decay)
{
    p += p_at, g += g_at;
    FOR_CHUNK(at, n)
    {
        const vec old = load(n, at, p), d = slope_of(n, at, g, old, decay);
        store(old - lr * d, n, at, p);
    }
}

__kernel void momentum(
    const int n,
    __global float *p, const ulong p_at,
    __global const float *g, const ulong g_at,
    __global float *m, const ulong m_at,
    const int nesterov,
    const float lr,
    const float mu,
    const float decay)
{
    p += p_at, g += g_at;
    FOR_CHUNK(at, n)
    {
        const vec old = load(n, at, p), d = slope_of(n, at, g, old, decay);
        const vec speed = mu * load(n, at, m + m_at) + d;
        store(speed, n, at, m + m_at);
        store(old - lr * (nesterov ? d + mu * speed : speed), n, at, p);
    }
}

__kernel void rmsprop(
    const int n,
    __global float *p, const ulong p_at,
    __global const float *g, const ulong g_at,
    __global float *v, const ulong v_at,
    const int centered,
    __global float *mean, const ulong mean_at,
    const float lr,
    const float rho,
    const float eps,
    const float decay,
    const float take)  // 1 - rho, rounded once
{
    p += p_at, g += g_at;
    FOR_CHUNK(at, n)
    {
        const vec old = load(n, at, p), d = slope_of(n, at, g, old, decay);
        const vec square = rho * load(n, at, v + v_at) + take * (d * d);
        store(square, n, at, v + v_at);
        vec spread = square;
        if (centered) {
            const vec middle = rho * load(n, at, mean + mean_at) + take * d;
            store(middle, n, at, mean + mean_at);
            spread -= middle * middle;
        }
        store(old - lr * d / (sqrt(spread) + eps), n, at, p);
    }
}

__kernel void adagrad(
    const int n,
    __global float *p, const ulong p_at,
    __global const float *g, const ulong g_at,
    __global float *v, const ulong v_at,
    const float lr,
    const float eps,
    const float decay)
{
    p += p_at, g += g_at;
    FOR_CHUNK(at, n)
    {
        const vec old = load(n, at, p), d = slope_of(n, at, g, old, decay);
        const vec sum = load(n, at, v + v_at) + d * d;
        store(sum, n, at, v + v_at);
        store(old - lr * d / (sqrt(sum) + eps), n, at, p);
    }
}

__kernel void adadelta(
    const int n,
    __global float *p, const ulong p_at,
    __global const float *g, const ulong g_at,
    __global float *v, const ulong v_at,
    __global float *u, const ulong u_at,
    const float lr,
    const float rho,
    const float eps,
    const float decay,
    const float take)  // 1 - rho, rounded once
{
    p += p_at, g += g_at;
    FOR_CHUNK(at, n)
    {
        const vec old = load(n, at, p), d = slope_of(n, at, g, old, decay);
        const vec square = rho * load(n, at, v + v_at) + take * (d * d);
        store(square, n, at, v + v_at);
        const vec before = load(n, at, u + u_at);
        const vec e = d / sqrt(square + eps) * sqrt(before + eps);
        store(rho * before + take * (e * e), n, at, u + u_at);
        store(old - lr * e, n, at, p);
    }
}

__kernel void adam(
    const int n,
    __global float *p, const ulong p_at,
    __global const float *g, const ulong g_at,
    __global float *m, const ulong m_at,
    __global float *v, const ulong v_at,
    const float b1,
    const float b2,
    const float rate,
    const float eps,
    const float decay,
    const float shrink,
    const int adaptive)  // 0: no second moment, the steps before RAdam trusts it
{
    p += p_at, g += g_at;
    FOR_CHUNK(at, n)
    {
        const vec old = load(n, at, p), d = slope_of(n, at, g, old, decay);
        const vec first = b1 * load(n, at, m + m_at) + d;
        const vec second = b2 * load(n, at, v + v_at) + d * d;
        store(first, n, at, m + m_at);
        store(second, n, at, v + v_at);
        const vec down = adaptive ? first / (sqrt(second) + eps) : first;
        store(shrink * old - rate * down, n, at, p);
    }
}
