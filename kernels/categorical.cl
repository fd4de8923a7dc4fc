// categorical: a distribution moved to an even grid of atoms (arXiv:1707.06887, algorithm 1).
//
// Shapes   probability, atoms, out (rows, z) float32; the grid is z points in [low, high].
// Launch   global (round_up(rows, local),), any local: an item owns a row, so that atoms which meet
//          in one point need no atomics. Items past the rows do nothing.
// Mirror   engine/numpy_backend/losses.py: categorical_projection.
// Bound    memory: 16 bytes a number, each row in cache.
#include "vector.clh"

__kernel void categorical_projection(
    const int rows,
    const int z,
    __global const float *probability, const ulong probability_at,
    __global const float *atoms, const ulong atoms_at,
    const float low,
    const float high,
    const float gap,
    __global float *out, const ulong out_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    probability += probability_at + (long)row * z, atoms += atoms_at + (long)row * z;
    out += out_at + (long)row * z;
    for (int i = 0; i < z; ++i) out[i] = 0.0f;
    for (int i = 0; i < z; ++i) {
        const float at = clip1((clip1(atoms[i], low, high) - low) / gap, 0.0f, z - 1);
        const float near = floor(at), p = probability[i], right = p * (at - near);
        const int left = clamp((int)near, 0, z - 1);
        out[min(left + 1, z - 1)] += right;
        out[left] += p - right;
    }
}
