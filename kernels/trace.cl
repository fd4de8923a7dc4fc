// trace: an eligibility trace takes in a gradient, and the sum of its magnitudes; no atomics.
//
// Shapes   g, z (n,), part (groups,), out (1,) float32.
// Launch   accumulate: global (groups * LANES,), local (LANES,): each group walks one chunk.
//          total: global (1,).
// Mirror   engine/numpy_backend/optimizers.py: trace.
// Bound    memory: 12 bytes a number.
// Tuning   WIDTH, LANES.
#include "vector.clh"

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void accumulate(
    const int n,
    const int chunk,  // numbers per group, a multiple of WIDTH * LANES
    __global const float *g, const ulong g_at,
    __global float *z, const ulong z_at,
    __global float *part,
    const float decay,
    const float tiny)  // smaller numbers become 0: see TINY
{
    __local float shared[LANES];
    const int start = get_group_id(0) * chunk;
    const int stop = min(n, start + chunk);
    vec sum = (vec)(0.0f);
    for (int at = start + get_local_id(0) * WIDTH; at < stop; at += LANES * WIDTH) {
        const vec sum_z = decay * load(n, at, z + z_at) + load(n, at, g + g_at);
        const vec v = fabs(sum_z) < tiny ? (vec)(0.0f) : sum_z;
        store(v, n, at, z + z_at);
        sum += fabs(v);
    }
    const float all = sum_lanes(sum_of(sum), shared);
    if (get_local_id(0) == 0) part[get_group_id(0)] = all;
}

__kernel void total(
    const int groups, __global const float *part, __global float *out, const ulong out_at)
{
    if (get_global_id(0) != 0) return;
    float sum = 0.0f;
    for (int i = 0; i < groups; ++i) sum += part[i];
    out[out_at] = sum;
}
