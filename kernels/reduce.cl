// reduce: the sum of all numbers, and the first place of the least or greatest; one stage of each.
//
// Shapes   x (n,) float32; for other stages than the first, sum_part reads the 2 items numbers that
//          the stage before wrote, find_part its places. Results (1,), from the stage of one item.
// Launch   global (round_up(items, local),), any local; (items - 1) CHUNK < n. An item walks every
//          items-th chunk. Items past the end do nothing.
// Mirror   engine/numpy_backend/arithmetic.py: sum_all, find_min, find_max.
// Bound    memory: 4 bytes a number.
// Tuning   WIDTH, CHUNK.
#include "vector.clh"

#define DOWN 0x1p-32f  // fewer than 2^31 numbers times this have a sum below the largest float

// hi + lo += v: Knuth's exact sum of hi and v, its rounding error kept in lo, and hi rounded anew.
#define ADD_TO(type, hi, lo, v)                                                                    \
    {                                                                                              \
        const type b_ = (v), s_ = hi + b_, z_ = s_ - hi;                                           \
        const type e_ = lo + ((hi - (s_ - z_)) + (b_ - z_));                                       \
        hi = s_ + e_;                                                                              \
        lo = e_ - (hi - s_);                                                                       \
    }

// This item's share of the sum of scale x, as a float and its rounding error. Where a part of it
// is not finite: the plain sum, which knows inf from NaN, or NaN if that is finite by chance.
static inline float2 share(
    const int n, const int items, __global const float *x, const float scale)
{
    vec hi = (vec)(0.0f), lo = (vec)(0.0f), plain = (vec)(0.0f);
    for (long from = (long)get_global_id(0) * CHUNK; from < n; from += (long)items * CHUNK) {
        const long to = min((long)n, from + CHUNK);
        for (long at = from; at < to; at += WIDTH) {
            const vec v = load(n, (int)at, x) * scale;
            ADD_TO(vec, hi, lo, v);
            plain += v;
        }
    }
    float high[WIDTH], low[WIDTH], sum = 0.0f, rest = 0.0f;
    VSTORE(hi, 0, high);
    VSTORE(lo, 0, low);
    for (int i = 0; i < WIDTH; ++i) {
        ADD_TO(float, sum, rest, high[i]);
        ADD_TO(float, sum, rest, low[i]);
    }
    if (isfinite(sum)) return (float2)(sum, rest);
    const float total = sum_of(plain);
    return (float2)(isfinite(total) ? NAN : total, 0.0f);
}

// part (2, 2 items): every item's sum, then their rounding errors; and both again times DOWN, which
// cannot overflow. ``scaled`` times ``scale`` is x times DOWN.
__kernel void sum_part(
    const int n,
    const int items,
    __global const float *x, const ulong x_at,
    __global const float *scaled, const ulong scaled_at,
    const float scale,
    __global float *part, const ulong part_at,
    __global float *out, const ulong out_at)
{
    const int item = get_global_id(0);
    if (item >= items) return;
    const float2 sum = share(n, items, x + x_at, 1.0f);
    const bool fits = isfinite(sum.x);
    const float2 less = fits ? sum * DOWN : share(n, items, scaled + scaled_at, scale);
    part += part_at + item;
    part[0] = sum.x, part[items] = sum.y;
    part[2 * items] = less.x, part[3 * items] = less.y;
    if (items == 1) out[out_at] = fits ? sum.x : less.x / DOWN;
}

// A number that is least where the wanted float is: NaN before all, both zeros alike. Made from the
// bits, so that a device without subnormals orders them too.
static inline int rank_of(const int bits, const int greatest)
{
    const int size = bits & 0x7fffffff;
    if (size > 0x7f800000) return INT_MIN;
    return (bits < 0) == greatest ? size : -size;
}

// best[item]: the first place of the least rank among this item's share of x, or of the n places
// that ``among`` lists.
__kernel void find_part(
    const int n,
    const int items,
    const int greatest,
    __global const int *x, const ulong x_at,
    const int listed,
    __global const int *among, const ulong among_at,
    __global int *best, const ulong best_at,
    __global int *value, const ulong value_at)
{
    const int item = get_global_id(0);
    if (item >= items) return;
    x += x_at, among += among_at;
    long least = LONG_MAX;
    for (long from = (long)item * CHUNK; from < n; from += (long)items * CHUNK) {
        const long to = min((long)n, from + CHUNK);
        for (long at = from; at < to; ++at) {
            const int i = listed ? among[at] : (int)at;
            least = min(least, rank_of(x[i], greatest) * (1L << 32) + i);
        }
    }
    const int first = (int)(least & 0x7fffffff);
    best[best_at + item] = first;
    if (items == 1) value[value_at] = x[first];
}
