// host_adam: one fused descent of the flat vector in the host's own memory, by PoCL's CPU device.
//
// Shapes   p, g, m, v (n,) float32, all but g in place; d = g + decay * p.
// Launch   global (ceil(n / CHUNK),), local (1,): an item walks CHUNK numbers in a row.
// Mirror   engine/numpy_backend/optimizers.py: adam. Bit for bit: the same operations in the same
//          order, no contraction into fused multiply-adds, roots and quotients rounded correctly.
// Bound    memory: 28 bytes a number. About 200 µs a million numbers on two cores, where NumPy's
//          ten passes over cached blocks take 1,000.
// Tuning   CHUNK: enough work for an item to outweigh its scheduling, little enough to share out.

#pragma OPENCL FP_CONTRACT OFF

#ifndef CHUNK
#define CHUNK 8192
#endif

#define STEP(T, LOAD, STORE, WIDTH)                                                                \
    for (; i + WIDTH <= to; i += WIDTH) {                                                          \
        T w = LOAD(p + i), d = LOAD(g + i);                                                        \
        if (decay != 0.0f) d = d + w * decay;                                                      \
        const T mean = LOAD(m + i) * b1 + d;                                                       \
        const T square = LOAD(v + i) * b2 + d * d;                                                 \
        STORE(mean, m + i);                                                                        \
        STORE(square, v + i);                                                                      \
        const T way = adaptive ? mean / (sqrt(square) + eps) : mean;                               \
        if (shrink != 1.0f) w = w * shrink;                                                        \
        STORE(w - way * rate, p + i);                                                              \
    }

#define LOAD16(at) vload16(0, at)
#define STORE16(x, at) vstore16(x, 0, at)
#define LOAD1(at) (*(at))
#define STORE1(x, at) (*(at) = (x))

__kernel void adam(
    const int n,
    __global float *p,
    __global const float *g,
    __global float *m,
    __global float *v,
    const float b1,
    const float b2,
    const float rate,
    const float eps,
    const float decay,
    const float shrink,
    const int adaptive)  // 0: no second moment, the steps before RAdam trusts it
{
    int i = get_global_id(0) * CHUNK;
    const int to = min(i + CHUNK, n);
    STEP(float16, LOAD16, STORE16, 16)
    STEP(float, LOAD1, STORE1, 1)
}
