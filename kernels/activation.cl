// activation: y = act(x) and dx = dy * act'(x), a chunk of numbers per work-item.
//
// Shapes   x, y, dy, dx (n,) float32; y may be x, dx may be dy.
// Launch   global (round_up(ceil(n / CHUNK), local),), any local. Items past n do nothing.
// Mirror   engine/numpy_backend/activations.py: activation, activation_backward.
// Bound    memory: 8 bytes a number forward, 12 backward (16 for gelu).
// Tuning   WIDTH, CHUNK.
#include "vector.clh"

#define EXP_LIMIT 10.0f
#define GELU_A 0.7978845608028654f  // sqrt(2 / pi)
#define GELU_B 0.044715f

#define FORWARD(NAME, VALUE)                                                                       \
    __kernel void NAME(                                                                            \
        const int n,                                                                               \
        __global const float *x, const ulong x_at,                                                 \
        __global float *y, const ulong y_at,                                                       \
        const float slope)                                                                         \
    {                                                                                              \
        FOR_CHUNK(at, n)                                                                           \
        {                                                                                          \
            const vec v = load(n, at, x + x_at);                                                   \
            store(VALUE, n, at, y + y_at);                                                         \
        }                                                                                          \
    }

// DERIVATIVE is a function of the output t; for gelu t is the input.
#define BACKWARD(NAME, DERIVATIVE)                                                                 \
    __kernel void NAME##_backward(                                                                 \
        const int n,                                                                               \
        __global const float *y, const ulong y_at,                                                 \
        __global const float *dy, const ulong dy_at,                                               \
        __global float *dx, const ulong dx_at,                                                     \
        const float slope)                                                                         \
    {                                                                                              \
        FOR_CHUNK(at, n)                                                                           \
        {                                                                                          \
            const vec t = load(n, at, y + y_at);                                                   \
            store(load(n, at, dy + dy_at) * (DERIVATIVE), n, at, dx + dx_at);                      \
        }                                                                                          \
    }

static inline vec gelu_tanh(const vec v)
{
    return tanh(GELU_A * v * (1.0f + GELU_B * v * v));
}

static inline vec gelu_slope(const vec v)
{
    const vec t = gelu_tanh(v);
    return 0.5f * (1.0f + t) + 0.5f * v * (1.0f - t * t) * GELU_A * (1.0f + 3 * GELU_B * v * v);
}

static inline vec between_clips(const vec t)  // a hair inside the clips, so that rounding cannot matter
{
    const float low = 4.53999e-05f * 1.000003f, high = 22026.4658f * 0.999997f;
    return t * (t > (vec)(low) && t < (vec)(high) ? (vec)(1.0f) : (vec)(0.0f));  // NaN stays
}

#define ZERO ((vec)(0.0f))
#define ONE ((vec)(1.0f))

FORWARD(relu, v < ZERO ? ZERO : v)
BACKWARD(relu, t > ZERO ? ONE : ZERO)
FORWARD(leaky_relu, v < ZERO ? slope * v : v)
BACKWARD(leaky_relu, t > ZERO ? ONE : (vec)(slope))
FORWARD(sigmoid, 1.0f / (1.0f + exp(-v)))
BACKWARD(sigmoid, t *(1.0f - t))
FORWARD(tanh_, tanh(v))
BACKWARD(tanh_, 1.0f - t * t)
FORWARD(softplus, (v < ZERO ? ZERO : v) + log1p(exp(-fabs(v))))
BACKWARD(softplus, -expm1(-t))
FORWARD(gelu, 0.5f * v * (1.0f + gelu_tanh(v)))
BACKWARD(gelu, gelu_slope(t))
FORWARD(exp_, exp(clip(v, -EXP_LIMIT, EXP_LIMIT)))
BACKWARD(exp_, between_clips(t))
