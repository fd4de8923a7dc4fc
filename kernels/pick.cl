// pick: out[b] = table[label[b]]
//
// Shapes   table (n,) float32, label (rows,) int32, out (rows,) float32.
// Launch   global (round_up(rows, local),), any local. Items past the rows do nothing.
// Mirror   engine/numpy_backend/losses.py: pick.
// Bound    memory: 12 bytes a row.

__kernel void pick(
    const int rows,
    const int n,
    __global const float *table, const ulong table_at,
    __global const int *label, const ulong label_at,
    __global float *out, const ulong out_at)
{
    const int row = get_global_id(0);
    if (row >= rows) return;
    out[out_at + row] = table[table_at + clamp(label[label_at + row], 0, n - 1)];
}
