// gather: out[r] = table[slot[r]]: a batch's rows out of a replay ring that lies on the device.
//
// Shapes   table (C, n) float32 (gather_floats) or uint8 (gather_bytes, values kept); slot (rows,)
//          int32, clipped into [0, C); out (rows, n) float32.
// Launch   global (LANES, rows), local (LANES, 1): a group owns a row.
// Mirror   engine/numpy_backend/memory.py: gather_rows.
// Bound    memory: 8 bytes a number of floats, 5 of bytes; rows lie apart, each in one piece.
// Tuning   WIDTH, LANES.
#include "vector.clh"

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void gather_floats(
    const int n,
    const int last,  // C - 1
    __global const float *table, const ulong table_at,
    __global const int *slot, const ulong slot_at,
    __global float *out, const ulong out_at)
{
    const int row = get_group_id(1);
    table += table_at + (long)clamp(slot[slot_at + row], 0, last) * n;
    out += out_at + (long)row * n;
    for (int at = get_local_id(0) * WIDTH; at < n; at += LANES * WIDTH)
        store(load(n, at, table), n, at, out);
}

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void gather_bytes(
    const int n,
    const int last,  // C - 1
    __global const uchar *table, const ulong table_at,
    __global const int *slot, const ulong slot_at,
    __global float *out, const ulong out_at)
{
    const int row = get_group_id(1);
    table += table_at + (long)clamp(slot[slot_at + row], 0, last) * n;
    out += out_at + (long)row * n;
    for (int at = get_local_id(0) * WIDTH; at < n; at += LANES * WIDTH)
        for (int i = at; i < min(n, at + WIDTH); ++i) out[i] = table[i];
}
