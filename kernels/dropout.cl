// dropout: y = factor * x, factor 0 or 1 / (1 - rate) by a hash of place and key: no state.
//
// Shapes   x, y, factor (n,) float32; y may be x.
// Launch   global (round_up(ceil(n / CHUNK), local),), any local. Items past n do nothing.
// Mirror   engine/numpy_backend/sparse.py: dropout; the same masks, bit for bit.
// Bound    memory: 12 bytes a number.
// Tuning   WIDTH, CHUNK.
#include "vector.clh"

#define uvec JOIN(uint, WIDTH)

__constant uint PLACES[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

__kernel void dropout(
    const int n,
    __global const float *x, const ulong x_at,
    const uint threshold,
    const float scale,
    __global float *y, const ulong y_at,
    __global float *factor, const ulong factor_at,
    const uint key)
{
    FOR_CHUNK(at, n)
    {
        uvec h = (VLOAD(0, PLACES) + (uint)at) * 0x9E3779B9u + key;
        h ^= h >> 16, h *= 0x7FEB352Du;  // Wellons' lowbias32
        h ^= h >> 15, h *= 0x846CA68Bu;
        h ^= h >> 16;
        const vec keep = h >= (uvec)(threshold) ? (vec)(scale) : (vec)(0.0f);
        store(keep, n, at, factor + factor_at);
        store(load(n, at, x + x_at) * keep, n, at, y + y_at);
    }
}
