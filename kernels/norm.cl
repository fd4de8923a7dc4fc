// norm: the Euclidean norm of a flat vector, and clipping to it; partial sums, no atomics.
//
// Shapes   g (n,), part (groups,), out (1,) float32.
// Launch   squares: global (groups * LANES,), local (LANES,): each group sums one chunk of g.
//          root: global (1,). clip_norm: global (round_up(ceil(n / CHUNK), local),), any local:
//          every item adds up the few parts again, which saves a launch.
// Mirror   engine/numpy_backend/optimizers.py: norm, clip_norm.
// Bound    memory: 4 bytes a number (squares), 8 (clip_norm where it clips).
// Tuning   WIDTH, CHUNK, LANES.
#include "vector.clh"

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void squares(
    const int n,
    const int chunk,  // numbers per group, a multiple of WIDTH * LANES
    __global const float *g, const ulong g_at,
    __global float *part)
{
    __local float shared[LANES];
    const int start = get_group_id(0) * chunk;
    const int stop = min(n, start + chunk);
    vec sum = (vec)(0.0f);
    for (int at = start + get_local_id(0) * WIDTH; at < stop; at += LANES * WIDTH) {
        const vec v = load(n, at, g + g_at);
        sum += v * v;
    }
    const float total = sum_lanes(sum_of(sum), shared);
    if (get_local_id(0) == 0) part[get_group_id(0)] = total;
}

static inline float root_of(const int groups, __global const float *part)
{
    float sum = 0.0f;
    for (int i = 0; i < groups; ++i) sum += part[i];
    return sqrt(sum);
}

__kernel void root(
    const int groups, __global const float *part, __global float *out, const ulong out_at)
{
    if (get_global_id(0) == 0) out[out_at] = root_of(groups, part);
}

__kernel void clip_norm(
    const int n,
    const int groups,
    __global const float *part,
    __global float *g, const ulong g_at,
    const float limit,
    __global float *out, const ulong out_at)
{
    const float norm = root_of(groups, part);
    if (get_global_id(0) == 0) out[out_at] = norm;
    if (!(norm > limit)) return;
    g += g_at;
    FOR_CHUNK(at, n) store(load(n, at, g) * (limit / norm), n, at, g);
}
